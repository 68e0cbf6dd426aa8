"""Search spaces as programs, and those that come with the library."""

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import layers
from snas_keras.spaces import _space, published


def test_choices_are_in_program_order_and_size_is_their_product(tiny_space):
    names = ["left_0", "right_0", "left_1", "right_1"]
    assert list(tiny_space.choices()) == names
    assert tiny_space.choices()["left_0"] == ("none", "conv", "skip")
    assert tiny_space.size() == 3**4


def test_options_reach_the_program():
    space = snas_keras.SEARCH_SPACES["digits"](blocks=2, classes=4)
    assert list(space.choices()) == ["block_0", "block_1"]
    assert space.with_options(blocks=1).size() == 5
    assert "blocks=2" in repr(space)


def test_any_interpreter_may_be_given(tiny_space):
    asked = []

    def choose(name, candidates):
        asked.append(name)
        return candidates["skip"]

    inputs, outputs = tiny_space(choose)
    assert outputs.shape == (None, 3)
    assert asked == list(tiny_space.choices())


def test_several_inputs_and_outputs_work():
    @snas_keras.search_space
    def two(choose):
        a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
        mixed = choose(
            "merge", {"add": keras.layers.Add(), "max": keras.layers.Maximum()}
        )([a, b])
        outputs = {
            "class": keras.layers.Dense(3, name="class")(mixed),
            "value": keras.layers.Dense(1, name="value")(mixed),
        }
        return {"a": a, "b": b}, outputs

    supernet = snas_keras.build_supernet(two())
    supernet.compile(
        "sgd",
        loss={
            "class": keras.losses.SparseCategoricalCrossentropy(True),
            "value": "mse",
        },
    )
    x = {k: np.ones((8, 4), "float32") for k in "ab"}
    y = {"class": np.zeros(8), "value": np.ones((8, 1))}
    history = supernet.fit(x, y, verbose=0).history
    assert np.isfinite(history["loss"][0])
    child = snas_keras.convert(supernet, {"merge": "max"})
    built = snas_keras.build_child(two(), {"merge": "max"})
    built.set_weights(child.get_weights())
    wanted, found = child(x), built(x)
    assert set(found) == {"class", "value"}
    np.testing.assert_array_equal(wanted["class"], found["class"])


def test_the_same_name_shares_its_decision():
    @snas_keras.search_space
    def twice(choose):
        x = inputs = keras.Input((4,))
        for _ in range(2):
            x = choose(
                "block",
                {
                    "dense": keras.layers.Dense(4),
                    "skip": keras.layers.Identity(),
                },
            )(x)
        return inputs, x

    supernet = snas_keras.build_supernet(twice())
    assert twice().size() == 2
    assert len(supernet.architecture.trainable_variables) == 1
    assert len(snas_keras.convert(supernet, {"block": "dense"}).layers) == 3
    kinds = [
        type(layer).__name__
        for layer in snas_keras.convert(supernet, {"block": "skip"}).layers
    ]
    # The identity keeps the output's name, by which a loss may be given.
    assert kinds == ["InputLayer", "Identity"]


def test_names_may_have_any_letters(tmp_path, features, compiled):
    """TensorFlow is stricter with names than a user is."""

    @snas_keras.search_space
    def _own(choose):
        inputs = keras.Input((6,), name="features")
        layers = {
            "dense, 3": keras.layers.Dense(3),
            "größer": keras.layers.Dense(3, activation="relu"),
        }
        x = choose("_block 0!", layers)(inputs)
        same = {"skip": keras.layers.Identity()}
        return inputs, choose("_block_0_", same)(x)

    supernet = compiled(_own())
    supernet.fit(*features, verbose=0)
    assert list(supernet.derive()) == ["_block 0!", "_block_0_"]
    genotype = {"_block 0!": "größer", "_block_0_": "skip"}
    child = snas_keras.build_child(_own(), genotype)
    snas_keras.export_saved_model(child, tmp_path / "served")
    converted = snas_keras.convert(supernet, genotype)
    names = [[x.name for x in m.layers] for m in (child, converted)]
    assert names[0] == names[1]


def test_the_same_name_with_other_candidates_is_refused():
    @snas_keras.search_space
    def inconsistent(choose):
        x = inputs = keras.Input((4,))
        x = choose("a", {"x": keras.layers.Identity()})(x)
        return inputs, choose("a", {"y": keras.layers.Identity()})(x)

    with pytest.raises(ValueError, match=r"'a'.*\['x'\] and \['y'\]"):
        inconsistent().choices()


@pytest.mark.parametrize(
    ("candidates", "error"),
    [({}, ValueError), (None, TypeError), ({"x": 1}, TypeError)],
)
def test_bad_candidates_are_refused_by_every_interpreter(candidates, error):
    @snas_keras.search_space
    def bad(choose):
        inputs = keras.Input((4,))
        return inputs, choose("a", candidates)(inputs)

    with pytest.raises(error, match="'a'"):
        bad().choices()
    with pytest.raises(error, match="'a'"):
        snas_keras.build_supernet(bad())


def test_a_space_without_choices_is_refused():
    @snas_keras.search_space
    def fixed(choose):
        inputs = keras.Input((4,))
        return inputs, keras.layers.Dense(2)(inputs)

    with pytest.raises(ValueError, match="at least one choice"):
        fixed().choices()


def test_a_program_that_returns_something_else_is_refused():
    @snas_keras.search_space
    def wrong(choose):
        x = keras.Input((4,))
        choose("a", {"x": keras.layers.Identity()})(x)
        return x, 3

    with pytest.raises(TypeError, match=r"must return \(inputs, outputs\)"):
        snas_keras.build_supernet(wrong())


def test_the_decorator_wants_choose_first():
    with pytest.raises(TypeError, match="first parameter is `choose`"):

        @snas_keras.search_space
        def wrong(filters):
            return filters


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(TypeError, match="widht.*options are.*filters"):
        snas_keras.SEARCH_SPACES["digits"](widht=3)


def test_building_from_something_else_is_refused():
    for build in (
        snas_keras.build_supernet,
        lambda space: snas_keras.build_child(space, {}),
    ):
        with pytest.raises(TypeError, match="Expected a SearchSpace"):
            build(snas_keras.SEARCH_SPACES["digits"])


def test_random_genotypes_are_uniform_and_repeat(tiny_space):
    """Each candidate of a choice in 600 draws: 200 +- 5 standard errors."""
    assert tiny_space.random_genotype(3) == tiny_space.random_genotype(3)
    drawn = [tiny_space.random_genotype(s)["left_1"] for s in range(600)]
    for candidate in ("none", "conv", "skip"):
        assert abs(drawn.count(candidate) - 200) < 58


def test_unique_names_count_repetitions():
    unique = _space.unique_names()
    assert [unique("a"), unique("b"), unique("a")] == ["a", "b", "a_1"]


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def test_the_paper_space_has_14_edges_of_8_candidates_twice():
    choices = snas_keras.SEARCH_SPACES["snas_cifar"](cells=3).choices()
    assert len(choices) == 28
    assert {len(candidates) for candidates in choices.values()} == {8}
    assert set(choices) == set(published.GENOTYPES["snas_moderate"])


def test_nasbench201_child_has_the_size_of_the_benchmark():
    """All 3x3 convolutions: 1.531546 million parameters."""
    space = snas_keras.SEARCH_SPACES["nasbench201"]()
    assert space.size() == 15_625
    genotype = dict.fromkeys(space.choices(), "nor_conv_3x3")
    assert trainable(snas_keras.build_child(space, genotype)) == 1_531_546


def test_auxiliary_head_is_a_second_output():
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=3, channels=2, auxiliary=True
    )
    genotype = dict.fromkeys(space.choices(), "skip_connect")
    child = snas_keras.build_child(space, genotype)
    shapes = {k: v.shape for k, v in child(np.zeros((1, 32, 32, 3))).items()}
    assert shapes == {"logits": (1, 10), "auxiliary": (1, 10)}


def test_a_fixed_network_spares_identities_from_drop_path():
    """Of all-skip cells only the factorized reduces (stride 2) are dropped."""
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=4, nodes=2, channels=2, drop_path=0.3, input_shape=(8, 8, 3)
    )
    genotype = dict.fromkeys(space.choices(), "skip_connect")
    child = snas_keras.build_child(space, genotype)
    drops = [x for x in child.layers if isinstance(x, layers.DropPath)]
    assert len(drops) == 2 * 4
    supernet = snas_keras.build_supernet(space)
    drops = [
        x for x in supernet.network.layers if isinstance(x, layers.DropPath)
    ]
    assert len(drops) == 4 * 5


def test_images_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 4.*\(30, 30, 3\)"):
        snas_keras.SEARCH_SPACES["snas_cifar"](input_shape=(30, 30, 3)).size()


def test_a_chain_of_own_layers_becomes_stock_layers(tiny_space):
    for name, depth in (
        ("snas_cifar", {"cells": 3}),
        ("nasbench201", {"cells_per_stage": 2}),
    ):
        options = {"channels": 2, "input_shape": (8, 8, 3), **depth}
        space = snas_keras.SEARCH_SPACES[name](**options)
        child = snas_keras.build_child(space, space.random_genotype(0))
        modules = {type(x).__module__ for x in child._flatten_layers()}
        assert all(module.startswith("keras.") for module in modules)
    assert layers.to_stock(keras.layers.ReLU()).name.startswith("re_lu")


def test_a_choice_may_be_called_as_an_input_or_a_layer_is():
    """The names that a program gives stay; the edges take others."""

    @snas_keras.search_space
    def names(choose):
        x = inputs = keras.Input((3,), name="x")
        for name in ("x", "dense", "x"):
            layer = keras.layers.Dense(3)
            x = choose(name, {"dense": layer, "skip": keras.layers.Identity()})(
                x
            )
        return inputs, keras.layers.Dense(2, name="dense")(x)

    supernet = snas_keras.build_supernet(names())
    assert supernet.network.output_names == ["dense"]
    assert "x" in [layer.name for layer in supernet.network.layers]
    data = keras.ops.ones((2, 3))
    genotype = {"x": "dense", "dense": "skip"}
    child = snas_keras.convert(supernet, genotype)
    assert child.input.name == "x"
    assert child.count_params() == 2 * 12 + 8
    np.testing.assert_array_equal(
        child(data),
        supernet.network(
            [
                data,
                supernet.architecture.one_hot({"x": "dense", "dense": "skip"}),
            ]
        ),
    )
