"""Fixed networks: the supernet's child and the fresh one."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import costs as costs_lib
from snas_keras import layers


def randomised(supernet, seed=0):
    """Give all weights, moving statistics too, random values."""
    generator = np.random.default_rng(seed)
    for variable in supernet.network.variables:
        value = generator.uniform(0.2, 1.0, variable.shape)
        if "seed" not in variable.path:
            variable.assign(value.astype(variable.dtype))
    return supernet


@pytest.fixture(scope="module")
def trained():
    from tests import conftest

    keras.utils.set_random_seed(0)
    space = conftest.tiny()
    return space, randomised(snas_keras.build_supernet(space))


def all_genotypes(space):
    choices = space.choices()
    for candidates in itertools.product(*choices.values()):
        yield snas_keras.Genotype(dict(zip(choices, candidates, strict=True)))


@pytest.mark.slow
def test_all_81_children_are_the_supernet(trained, images):
    """Both roads to a child, in inference and in training mode.

    In inference the three agree to the last bit; in training the supernet's
    fused batch norm sums in another order: 1e-5 of values below ten.
    """
    space, supernet = trained
    x = tf.constant(images[0][:8])
    count = 0
    for genotype in all_genotypes(space):
        weights = supernet.architecture.one_hot(genotype)
        child = snas_keras.convert(supernet, genotype)
        fresh = snas_keras.build_child(space, genotype)
        fresh.set_weights(child.get_weights())
        wanted = supernet.network([x, weights], training=False).numpy()
        np.testing.assert_array_equal(child(x), wanted)
        np.testing.assert_array_equal(fresh(x), wanted)
        statistics = [v.numpy() for v in supernet.network.variables]
        wanted = supernet.network([x, weights], training=True).numpy()
        for v, value in zip(
            supernet.network.variables, statistics, strict=True
        ):
            v.assign(value)
        np.testing.assert_allclose(child(x, training=True), wanted, atol=1e-5)
        count += 1
    assert count == space.size()


def test_none_edges_leave_the_graph(trained):
    space, supernet = trained
    genotype = {
        "left_0": "none",
        "right_0": "conv",
        "left_1": "skip",
        "right_1": "none",
    }
    child = snas_keras.convert(supernet, genotype)
    kinds = [type(x).__name__ for x in child.layers]
    assert kinds == [
        "InputLayer",
        "Conv2D",
        "Sequential",
        "GlobalAveragePooling2D",
        "Dense",
    ]


def test_a_node_without_live_edges_is_zero(trained, images):
    space, supernet = trained
    genotype = dict.fromkeys(space.choices(), "none")
    child = snas_keras.convert(supernet, genotype)
    bias = child.layers[-1].bias.numpy()
    outputs = child(images[0][:2]).numpy()
    np.testing.assert_array_equal(outputs, [bias, bias])
    kinds = {type(x).__name__ for x in child.layers}
    assert "Add" not in kinds


def test_dead_nodes_of_a_cell_become_zeros_of_the_right_shape():
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=3, channels=2, input_shape=(8, 8, 3)
    )
    genotype = dict.fromkeys(space.choices(), "none")
    genotype["reduce_0->2"] = "skip_connect"
    genotype["normal_0->2"] = "sep_conv_3x3"
    supernet = randomised(snas_keras.build_supernet(space))
    child = snas_keras.convert(supernet, genotype)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    weights = supernet.architecture.one_hot(genotype)
    wanted = supernet.network([tf.constant(x), weights], training=False)
    np.testing.assert_allclose(child(x), wanted, rtol=1e-6, atol=1e-6)
    again = keras.models.clone_model(child)
    assert again.output_shape == (None, 10)


def test_zero_terms_of_a_plus_sign_leave_the_graph_too():
    @snas_keras.search_space
    def plus(choose):
        inputs = keras.Input((4,))
        y = choose("a", {"none": layers.Zero(), "dense": keras.layers.Dense(4)})
        return inputs, inputs + y(inputs)

    child = snas_keras.build_child(plus(), {"a": "none"})
    x = np.ones((1, 4), "float32")
    np.testing.assert_array_equal(child(x), x)
    # The identity keeps the output's name, by which a loss may be given.
    kinds = [type(layer).__name__ for layer in child.layers]
    assert kinds == ["InputLayer", "Identity"]


def test_a_layer_that_is_used_twice_stays_one_layer():
    @snas_keras.search_space
    def siamese(choose):
        a, b = keras.Input((4,)), keras.Input((4,))
        edge = choose("tower", {"dense": keras.layers.Dense(4)})
        head = keras.layers.Dense(2)
        return [a, b], keras.layers.Add()([head(edge(a)), head(edge(b))])

    supernet = snas_keras.build_supernet(siamese())
    child = snas_keras.convert(supernet)
    assert len(child.trainable_variables) == 4
    x = [np.ones((1, 4), "float32"), np.zeros((1, 4), "float32")]
    np.testing.assert_array_equal(child(x), supernet(x))


def test_nested_models_are_converted_with_their_weights():
    @snas_keras.search_space
    def nested(choose):
        inner_in = keras.Input((8, 8, 3))
        inner = keras.layers.Conv2D(4, 3)(inner_in)
        inner = layers.FusedBatchNormalization()(inner)
        backbone = keras.Model(inner_in, inner, name="backbone")
        inputs = keras.Input((8, 8, 3))
        x = choose(
            "a",
            {
                "model": keras.Sequential(
                    [
                        keras.layers.ReLU(),
                        snas_keras.OPERATIONS["nor_conv_1x1"](4),
                    ]
                ),
                "skip": keras.layers.Identity(),
            },
        )(backbone(inputs))
        return inputs, x

    supernet = randomised(snas_keras.build_supernet(nested()))
    child = snas_keras.convert(supernet)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(child(x), supernet(x), atol=1e-6)
    modules = {type(x).__module__ for x in child._flatten_layers()}
    assert all(module.startswith("keras.") for module in modules)


def test_child_is_bigger_when_the_space_says_so(tiny_space):
    genotype = tiny_space.random_genotype(1)
    small = snas_keras.build_child(tiny_space, genotype)
    big = snas_keras.build_child(tiny_space, genotype, filters=16)
    assert big.get_layer("stem").filters == 16
    assert big.count_params() > small.count_params()


def test_converting_does_not_change_the_supernet(trained, images):
    space, supernet = trained
    before = supernet(images[0]).numpy()
    config = supernet.get_config()
    child = snas_keras.convert(supernet, space.random_genotype(2))
    child.set_weights([0.0 * w for w in child.get_weights()])
    np.testing.assert_array_equal(supernet(images[0]), before)
    assert supernet.get_config() == config


def test_reading_costs_does_not_change_the_supernet(trained, images):
    space, supernet = trained
    config = supernet.get_config()
    genotype = space.random_genotype(2)
    costs = {costs_lib.ChildCost(supernet, "flops")(genotype) for _ in "ab"}
    assert len(costs) == 1
    assert supernet.get_config() == config
    np.testing.assert_array_equal(
        snas_keras.convert(supernet)(images[0]), supernet(images[0])
    )


def test_genotype_that_does_not_fit_is_refused(trained):
    space, supernet = trained
    good = dict.fromkeys(space.choices(), "conv")
    for bad, message in [
        ({**good, "extra": "conv"}, r"Unknown choices: \['extra'\]"),
        ({"left_0": "conv"}, r"Missing choices: \['left_1'"),
        ({**good, "left_0": "pool"}, r"'pool'.*\['none', 'conv', 'skip'\]"),
    ]:
        for build in (
            lambda g: snas_keras.convert(supernet, g),
            lambda g: snas_keras.build_child(space, g),
        ):
            with pytest.raises(ValueError, match=message):
                build(bad)


@pytest.mark.parametrize(
    "use",
    [snas_keras.convert, lambda network: costs_lib.ChildCost(network, "flops")],
)
def test_what_is_no_supernet_is_refused_by_what_it_is(use):
    space = snas_keras.SEARCH_SPACES["digits"](filters=2)
    child = snas_keras.build_child(space, space.random_genotype(0))
    for other in (child, space):
        with pytest.raises(TypeError, match="Expected a SuperNet"):
            use(other)
