"""The mixed edge: a weighted sum of candidates."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import snas_keras

X = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype("float32")


def candidates():
    return {
        "conv": keras.layers.Conv2D(2, 3, padding="same"),
        "norm": keras.layers.BatchNormalization(),
        "skip": keras.layers.Identity(),
        "none": snas_keras.OPERATIONS["none"](2),
    }


@pytest.mark.parametrize("index", range(4))
def test_edge_with_one_hot_weights_is_that_candidate(index):
    edge = snas_keras.MixedEdge(candidates())
    weights = np.eye(4, dtype="float32")[index]
    y = edge(X, weights)
    wanted = list(edge.candidates.values())[index](X)
    np.testing.assert_array_equal(y, wanted)


def test_edge_with_equal_weights_is_the_mean():
    edge = snas_keras.MixedEdge(candidates())
    y = edge(X, np.full(4, 0.25, "float32"))
    outputs = [layer(X).numpy() for layer in edge.candidates.values()]
    np.testing.assert_allclose(y, np.mean(outputs, 0), atol=1e-6)


_LINEAR = snas_keras.MixedEdge(candidates())
_number = st.floats(0, 2, width=32)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(_number, min_size=4, max_size=4),
    st.lists(_number, min_size=4, max_size=4),
)
def test_edge_is_linear_in_the_weights(first, second):
    """Sums of four float32 terms below ten: 1e-5 is 20 roundings."""
    first, second = np.float32(first), np.float32(second)
    wanted = _LINEAR(X, first).numpy() + _LINEAR(X, second).numpy()
    np.testing.assert_allclose(_LINEAR(X, first + second), wanted, atol=1e-5)


def test_gradient_to_the_weights_is_the_credit():
    """d sum(y) / d weights_k = sum(candidate_k(x))."""
    edge = snas_keras.MixedEdge(candidates())
    weights = tf.Variable([0.1, 0.2, 0.3, 0.4])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(edge(X, weights))
    gradient = tape.gradient(total, weights).numpy()
    wanted = [layer(X).numpy().sum() for layer in edge.candidates.values()]
    np.testing.assert_allclose(gradient, wanted, atol=1e-3)


def test_gradient_to_a_candidate_is_scaled_by_its_weight():
    edge = snas_keras.MixedEdge({"dense": keras.layers.Dense(2)})
    x = np.ones((1, 2), "float32")
    gradients = []
    for weight in (1.0, 0.25):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(edge(x, np.float32([weight])))
        gradients.append(tape.gradient(total, edge.trainable_variables)[0])
    np.testing.assert_allclose(gradients[1], 0.25 * gradients[0])


def test_order_of_candidates_does_not_matter_when_weights_follow():
    layers = candidates()
    names = list(layers)
    edge = snas_keras.MixedEdge(layers)
    weights = np.float32([0.1, 0.2, 0.3, 0.4])
    y = edge(X, weights)
    permuted = [2, 0, 3, 1]
    other = snas_keras.MixedEdge({names[k]: layers[names[k]] for k in permuted})
    np.testing.assert_allclose(other(X, weights[permuted]), y, atol=1e-6)


def test_several_inputs_and_outputs_are_mixed():
    class Swap(keras.layers.Layer):
        def call(self, inputs):
            return [inputs[1], inputs[0]]

    class Keep(keras.layers.Layer):
        def call(self, inputs):
            return [inputs[0], inputs[1]]

    edge = snas_keras.MixedEdge({"swap": Swap(), "keep": Keep()})
    a, b = np.ones((1, 2), "float32"), np.zeros((1, 2), "float32")
    y = edge([a, b], np.float32([0.25, 0.75]))
    np.testing.assert_allclose(y[0], [[0.75, 0.75]])
    np.testing.assert_allclose(y[1], [[0.25, 0.25]])


def test_candidates_with_another_dtype_policy_are_cast():
    edge = snas_keras.MixedEdge(
        {
            "half": keras.layers.Dense(2, dtype="float16"),
            "single": keras.layers.Dense(2),
        }
    )
    y = edge(np.ones((1, 2), "float32"), np.float32([0.5, 0.5]))
    assert y.dtype == tf.float32


def test_masks_reach_the_candidates():
    inputs = keras.Input((3, 1))
    masked = keras.layers.Masking()(inputs)
    edge = snas_keras.MixedEdge({"lstm": keras.layers.LSTM(2)})
    model = keras.Model(inputs, edge(masked, np.float32([1.0])))
    short = np.float32([[[1.0], [2.0], [0.0]]])
    lstm = edge.candidates["lstm"]
    np.testing.assert_allclose(model(short), lstm(short[:, :2]), atol=1e-6)


def test_a_candidate_may_be_a_function_that_makes_the_layer():
    edge = snas_keras.MixedEdge({"dense": lambda: keras.layers.Dense(2)})
    assert isinstance(edge.candidates["dense"], keras.layers.Dense)


def test_config_and_weights_survive_a_round_trip():
    edge = snas_keras.MixedEdge(candidates(), choice="a", name="edge")
    weights = np.float32([0.1, 0.2, 0.3, 0.4])
    y = edge(X, weights)
    config = keras.saving.serialize_keras_object(edge)
    again = keras.saving.deserialize_keras_object(config)
    assert (again.choice, again.name) == ("a", "edge")
    assert list(again.candidates) == list(edge.candidates)
    again(X, weights)
    again.set_weights(edge.get_weights())
    np.testing.assert_array_equal(again(X, weights), y)


def test_candidates_of_other_shapes_are_refused_with_both_shapes():
    edge = snas_keras.MixedEdge(
        {"narrow": keras.layers.Dense(2), "wide": keras.layers.Dense(5)},
        choice="width",
    )
    message = r"'width'.*'narrow' with \(None, 2\).*'wide' with \(None, 5\)"
    with pytest.raises(ValueError, match=message):
        edge(keras.Input((3,)), keras.Input(batch_shape=(2,)))


def test_candidates_that_are_no_layers_are_refused():
    with pytest.raises(TypeError, match="Candidate 'x'.*Received: 3"):
        snas_keras.MixedEdge({"x": 3})
    with pytest.raises(TypeError, match="must be a mapping"):
        snas_keras.MixedEdge([keras.layers.Identity()])
    with pytest.raises(ValueError, match="at least one candidate"):
        snas_keras.MixedEdge({})


def test_loading_an_unregistered_candidate_names_it():
    class Secret(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    edge = snas_keras.MixedEdge({"secret": Secret()})
    config = keras.saving.serialize_keras_object(edge)
    with pytest.raises(TypeError, match="candidate 'secret'"):
        keras.saving.deserialize_keras_object(config)


class Gated(keras.layers.Layer):
    """A layer as users write them: sublayers, and no `build`."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.value = keras.layers.Dense(units)
        self.gate = keras.layers.Dense(units, "sigmoid")

    def call(self, inputs):
        return self.gate(inputs) * self.value(inputs)


def test_a_layer_without_build_is_built_as_keras_would(tmp_path):
    """By a call; `build` alone would warn, which is an error here."""
    edge = snas_keras.MixedEdge({"gated": Gated(2), "dense": Gated(2)})
    x = np.ones((1, 3), "float32")
    edge.build((None, 3))
    assert len(edge.trainable_variables) == 8
    gated = edge.candidates["gated"]
    np.testing.assert_array_equal(edge(x, np.array([1.0, 0.0])), gated(x))
