"""What flows through an edge: masks, dtypes, structures, several arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import layers

KL = keras.layers
HALVES = np.array([0.5, 0.5])
IDS = np.array([[3, 5, 0, 0], [1, 2, 4, 0], [7, 0, 0, 0]])


def mask_of(tensor):
    return None if (m := getattr(tensor, "_keras_mask", None)) is None else m


def edge(candidates, single_path=False):
    return layers.MixedEdge(candidates, "block", single_path)


def embedded():
    return KL.Embedding(10, 4, mask_zero=True)(IDS)


def both(weights, single_path, candidates, x):
    """Call an edge in a graph, as training does, and give outputs and mask."""
    mixed = edge(candidates, single_path)
    mixed(x, tf.constant(weights))

    @tf.function(autograph=False)
    def called(weights):
        y = mixed(x, weights)
        return y, mask_of(y)

    return called(tf.constant(weights))


@pytest.mark.parametrize("single_path", [False, True])
def test_a_mask_that_is_consumed_is_not_handed_on(single_path):
    _, mask = both(
        [1.0, 0.0],
        single_path,
        {"lstm": KL.LSTM(3), "gru": KL.GRU(3)},
        embedded(),
    )
    assert mask is None


@pytest.mark.parametrize("single_path", [False, True])
def test_a_mask_that_passes_through_all_is_handed_on(single_path):
    candidates = {
        "lstm": KL.LSTM(4, return_sequences=True),
        "skip": KL.Identity(),
    }
    _, mask = both([0.0, 1.0], single_path, candidates, embedded())
    np.testing.assert_array_equal(mask, IDS != 0)


@pytest.mark.parametrize("single_path", [False, True])
def test_a_mask_that_candidates_make_is_that_of_what_is_chosen(single_path):
    candidates = {
        "masked": KL.Embedding(10, 4, mask_zero=True),
        "open": KL.Embedding(10, 4),
    }
    for weights, expected in (
        ([1.0, 0.0], IDS != 0),
        ([0.0, 1.0], np.ones_like(IDS, bool)),
    ):
        _, mask = both(weights, single_path, candidates, tf.constant(IDS))
        np.testing.assert_array_equal(mask, expected)


def test_a_mixture_masks_what_all_with_a_weight_mask():
    candidates = {
        "masked": KL.Embedding(10, 4, mask_zero=True),
        "open": KL.Embedding(10, 4),
    }
    _, mask = both([0.5, 0.5], False, candidates, tf.constant(IDS))
    assert np.all(mask)


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
def test_masked_text_trains_and_the_child_has_its_loss(estimator):
    @snas_keras.search_space
    def text(choose):
        ids = keras.Input((4,), dtype="int32")
        x = KL.Embedding(10, 6, mask_zero=True)(ids)
        x = choose(
            "sequence",
            {
                "lstm": KL.LSTM(6, return_sequences=True),
                "skip": KL.Identity(),
            },
        )(x)
        x = choose("last", {"lstm": KL.LSTM(5), "gru": KL.GRU(5)})(x)
        return ids, KL.Dense(1)(x)

    supernet = snas_keras.build_supernet(text(), estimator)
    supernet.compile(loss="mse")
    y = np.arange(3.0)[:, None]
    supernet.fit(IDS, y, verbose=0)
    child = snas_keras.convert(supernet)
    child.compile(loss="mse")
    found = supernet.evaluate(IDS, y, verbose=0)
    assert found == pytest.approx(child.evaluate(IDS, y, verbose=0), abs=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_a_mixture_has_the_dtype_of_its_candidates(dtype):
    x = tf.ones((2, 3), dtype)
    candidates = {
        "dense": KL.Dense(3, dtype=dtype),
        "skip": KL.Identity(dtype=dtype),
    }
    mixed = edge(candidates)
    assert mixed(x, HALVES).dtype == dtype
    assert mixed.compute_output_spec(keras.KerasTensor((2, 3))).dtype == dtype


def test_float64_inputs_keep_their_digits():
    """Seconds since 1970 have ten digits before the point."""

    @snas_keras.search_space
    def clock(choose):
        seconds = keras.Input((1,), dtype="float64")
        x = KL.Rescaling(1.0, offset=-1.7e9, dtype="float64")(seconds)
        block = {"dense": KL.Dense(2), "other": KL.Dense(2)}
        return seconds, choose("block", block)(x)

    supernet = snas_keras.build_supernet(clock())
    t = 1.7e9 + np.arange(4.0)[:, None]
    child = snas_keras.convert(supernet)
    kernel = child.layers[-1].get_weights()[0]
    expected = (t - 1.7e9) @ kernel
    # Keras itself casts arrays in memory to float32.
    data = tf.data.Dataset.from_tensor_slices(t).batch(4)
    for model in (supernet, child):
        np.testing.assert_allclose(
            model.predict(data, verbose=0), expected, rtol=1e-5, atol=1e-6
        )


def test_integers_cannot_be_mixed():
    lookup = {
        name: KL.IntegerLookup(vocabulary=[1, 2], num_oov_indices=count)
        for name, count in (("one", 1), ("two", 2))
    }
    with pytest.raises(ValueError, match="'block' are added.*candidate 'one'"):
        edge(lookup)(tf.constant([[1], [2]]), HALVES)


def test_one_candidate_may_give_integers():
    mixed = edge({"lookup": KL.IntegerLookup(vocabulary=[5, 7])})
    found = mixed(tf.constant([[5], [7]]), tf.ones(1))
    assert found.numpy().tolist() == [[1], [2]]


def test_attention_on_one_tensor_attends_to_it_itself():
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    attention = {
        "multi": KL.MultiHeadAttention(2, 4),
        "grouped": KL.GroupQueryAttention(4, 2, 1),
        "dot": KL.Attention(),
        "additive": KL.AdditiveAttention(),
    }
    mixed = edge(attention)
    for k, layer in enumerate(attention.values()):
        y = mixed(x, np.eye(4)[k])
        is_pair = isinstance(layer, (KL.Attention, KL.AdditiveAttention))
        expected = layer([x, x]) if is_pair else layer(x, x)
        np.testing.assert_allclose(y, expected, atol=1e-6)


@snas_keras.search_space
def crossed(choose):
    query, value = keras.Input((3, 8)), keras.Input((5, 8))
    attention = {
        "one_head": KL.MultiHeadAttention(1, 4),
        "two_heads": KL.MultiHeadAttention(2, 4),
    }
    x = choose("cross", attention)(query, value=value)
    return [query, value], KL.Dense(1)(x)


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
def test_a_choice_is_called_on_several_tensors(estimator, tmp_path):
    supernet = snas_keras.build_supernet(crossed(), estimator)
    generator = np.random.default_rng(0)
    x = [generator.normal(size=(4, n, 8)).astype("float32") for n in (3, 5)]
    supernet.compile(loss="mse")
    supernet.fit(x, np.zeros((4, 3, 1)), verbose=0)
    genotype = {"cross": "two_heads"}
    child = snas_keras.convert(supernet, genotype)
    [mixed] = layers.mixed_edges(supernet.network)
    attended = mixed.candidates["two_heads"](x[0], x[1])
    kernel, bias = child.layers[-1].get_weights()
    np.testing.assert_allclose(
        child(x), np.array(attended) @ kernel + bias, atol=1e-5
    )
    supernet.save(tmp_path / "search.keras")
    loaded = keras.models.load_model(tmp_path / "search.keras")
    np.testing.assert_allclose(loaded(x), supernet(x), atol=1e-6)
    fresh = snas_keras.build_child(crossed(), genotype)
    assert fresh.count_params() == child.count_params()


def test_what_is_no_tensor_is_refused_by_the_choice():
    @snas_keras.search_space
    def causal(choose):
        x = keras.Input((3, 8))
        block = {"attention": KL.MultiHeadAttention(1, 4)}
        return x, choose("block", block)(x, use_causal_mask=True)

    with pytest.raises(ValueError, match="'block'.*use_causal_mask=True"):
        snas_keras.build_supernet(causal())


def test_a_candidate_that_cannot_be_called_is_named():
    @snas_keras.search_space
    def mixed(choose):
        x = keras.Input((3, 8))
        block = {"dense": KL.Dense(8), "add": KL.Add()}
        return x, choose("block", block)(x)

    with pytest.raises(ValueError, match="(?s)'add' of choice 'block'.*Wrap"):
        snas_keras.build_supernet(mixed())


def test_a_wrapper_around_a_choice_is_told_where_to_go():
    @snas_keras.search_space
    def wrapped(choose):
        x = keras.Input((3, 8))
        return x, KL.TimeDistributed(choose("block", {"a": KL.Dense(2)}))(x)

    with pytest.raises(ValueError, match="choice 'block'.*each candidate"):
        wrapped().choices()


def test_a_choice_within_a_layer_is_refused_with_where_it_belongs():
    @snas_keras.search_space
    def hidden(choose):
        x = keras.Input((3, 8))
        block = choose("block", {"a": KL.Dense(2), "b": KL.Dense(2)})
        return x, KL.Lambda(lambda t: block(t))(x)

    with pytest.raises(ValueError, match="'block'.*in the program itself"):
        snas_keras.build_supernet(hidden())


def test_a_choice_may_be_called_again_and_is_one_layer():
    @snas_keras.search_space
    def twice(choose):
        first, second = keras.Input((4,)), keras.Input((4,))
        block = choose("block", {"a": KL.Dense(3), "b": KL.Dense(3)})
        return [first, second], KL.Subtract()([block(first), block(second)])

    supernet = snas_keras.build_supernet(twice())
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    assert not np.array(supernet([x, x])).any()
    child = snas_keras.convert(supernet)
    assert child.count_params() == 4 * 3 + 3
    assert not np.array(child([x, x])).any()


def test_dicts_keep_their_keys_in_whatever_order_they_sort():
    @snas_keras.search_space
    def named(choose):
        inputs = {
            "zebra": keras.Input((2,), name="zebra"),
            "ant": keras.Input((3,), name="ant"),
        }
        block = {"a": KL.Dense(4), "b": KL.Dense(4, activation="tanh")}
        x = KL.Concatenate()([inputs["zebra"], inputs["ant"]])
        x = choose("block", block)(x)
        return inputs, {"price": KL.Dense(1)(x), "kind": KL.Dense(2)(x)}

    supernet = snas_keras.build_supernet(named())
    generator = np.random.default_rng(0)
    x = {
        n: generator.normal(size=(4, k)) for n, k in (("zebra", 2), ("ant", 3))
    }
    y = {"kind": np.zeros((4, 2)), "price": np.zeros((4, 1))}
    supernet.compile(loss={"price": "mse", "kind": "mae"})
    supernet.fit(x, y, verbose=0)
    child = snas_keras.convert(supernet)
    found, expected = (
        supernet.predict(x, verbose=0),
        child.predict(x, verbose=0),
    )
    assert set(found) == set(expected) == {"price", "kind"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_edges_of_other_shapes_do_not_share_what_was_built_for_one():
    @keras.saving.register_keras_serializable("tests")
    class Positions(KL.Layer):
        """Adds to each position its number, as built."""

        def build(self, input_shape):
            self.numbers = np.arange(input_shape[1], dtype="float32")

        def call(self, inputs):
            return inputs + self.numbers

    @snas_keras.search_space
    def two_lengths(choose):
        x = keras.Input((4,))
        y = choose("short", {"a": Positions(), "b": Positions()})(x)
        z = KL.Concatenate()([y, y])
        return x, choose("long", {"a": Positions(), "b": Positions()})(z)

    supernet = snas_keras.build_supernet(two_lengths(), "softmax")
    supernet.compile(loss="mse")
    zeros = np.zeros((1, 4))
    half = np.array([*range(4), *range(4)]) + np.arange(8)
    np.testing.assert_allclose(supernet.predict(zeros, verbose=0)[0], half)


def test_a_choice_in_a_model_within_the_program_is_refused_by_name():
    @snas_keras.search_space
    def modular(choose):
        inputs, inner = keras.Input((4,)), keras.Input((4,))
        block = {"a": KL.Dense(3), "b": KL.Dense(3)}
        encoder = keras.Model(inner, choose("encode", block)(inner))
        return inputs, KL.Dense(1)(encoder(inputs))

    with pytest.raises(ValueError, match="as a function.*'encode'"):
        snas_keras.build_supernet(modular())


def test_arguments_keep_their_places():
    """Queries and values are of different lengths."""
    query, value = keras.Input((3, 8)), keras.Input((5, 8))
    inputs, is_spread = layers.joined((query, value), {})
    args, kwargs = layers.arguments(KL.Dense(1), inputs, is_spread)
    assert args == (query, value)
    assert kwargs == {}
    inputs, is_spread = layers.joined((query,), {"value": value})
    args, kwargs = layers.arguments(KL.Dense(1), inputs, is_spread)
    assert (args, kwargs) == ((query,), {"value": value})


def test_a_loaded_edge_keeps_the_dtype_of_its_inputs(tmp_path):
    inputs = keras.Input((2,), dtype="float64")
    mixed = layers.MixedEdge(
        {"skip": KL.Identity(dtype="float64"), "same": layers.Zero()}, "block"
    )
    weights = keras.Input(batch_shape=(2,))
    model = keras.Model([inputs, weights], mixed(inputs, weights))
    model.save(tmp_path / "edge.keras")
    loaded = keras.models.load_model(tmp_path / "edge.keras")
    edges = [layers.mixed_edges(x)[0] for x in (model, loaded)]
    assert [e.output_dtype for e in edges] == ["float64", "float64"]


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
def test_states_of_recurrent_candidates_go_on_in_training(estimator):
    @snas_keras.search_space
    def stream(choose):
        inputs = keras.Input(batch_shape=(2, 3, 4))
        block = {"gru": KL.GRU(3, stateful=True)}
        return inputs, choose("block", block)(inputs)

    supernet = snas_keras.build_supernet(stream(), estimator)
    still = keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)
    supernet.compile(*still, "mse")
    x, y = np.ones((2, 3, 4), "float32"), np.zeros((2, 3), "float32")
    [mixed] = layers.mixed_edges(supernet.network)
    gru = mixed.candidates["gru"]
    expected = []
    for _ in range(2):
        expected.append(np.mean(np.square(gru(x))))
    gru.reset_state()
    found = []
    for _ in range(2):
        found.append(supernet.train_on_batch(x, y))
        supernet.reset_metrics()
    np.testing.assert_allclose(np.array(found)[:, 0], expected, rtol=1e-5)
    assert abs(expected[0] - expected[1]) > 1e-4


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
def test_attention_leaves_the_masks_of_its_inputs_to_all_others(estimator):
    """Keras' attention takes the mask off the tensor that it is called on."""

    @snas_keras.search_space
    def text(choose):
        ids = keras.Input((4,), dtype="int32")
        x = KL.Embedding(10, 4, mask_zero=True)(ids)
        block = {
            "one_head": KL.MultiHeadAttention(1, 4),
            "two_heads": KL.MultiHeadAttention(2, 4),
            "lstm": KL.LSTM(4, return_sequences=True),
        }
        y = choose("block", block)(x)
        x = choose("behind", {"gru": KL.GRU(4), "lstm": KL.LSTM(4)})(x)
        return ids, [KL.GlobalAveragePooling1D()(y), x]

    supernet = snas_keras.build_supernet(text(), estimator)
    for name in ("one_head", "two_heads", "lstm"):
        genotype = {"block": name, "behind": "gru"}
        weights = supernet.architecture.one_hot(genotype)
        child = snas_keras.convert(supernet, genotype)

        @tf.function(autograph=False)
        def answered(weights):
            return supernet.network([tf.constant(IDS), weights])

        for one, other in zip(answered(weights), child(IDS), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
        embedding, gru = (
            next(x for x in child.layers if isinstance(x, kind))
            for kind in (KL.Embedding, KL.GRU)
        )
        masked = embedding(IDS)
        np.testing.assert_allclose(child(IDS)[1], gru(masked), atol=1e-6)


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
@pytest.mark.parametrize("is_summed", [False, True])
def test_zeros_keep_the_mask_as_what_they_stand_for(estimator, is_summed):
    @snas_keras.search_space
    def text(choose):
        ids = keras.Input((4,), dtype="int32")
        x = KL.Embedding(10, 4, mask_zero=True)(ids)
        block = {
            "none": layers.Zero(),
            "gru": KL.GRU(4, return_sequences=True),
        }
        y = choose("block", block)(x)
        x = KL.Add()([x, y]) if is_summed else y
        return ids, KL.LSTM(3, bias_initializer="ones")(x)

    supernet = snas_keras.build_supernet(text(), estimator)
    child = snas_keras.convert(supernet, {"block": "none"})
    weights = supernet.architecture.one_hot({"block": "none"})
    expected = supernet.network([tf.constant(IDS), weights])
    np.testing.assert_allclose(child(IDS), expected, atol=1e-6)
