"""Recalibration: the statistics of batch norms are those of the data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras


def normed(momentum=0.99, **options):
    norm = keras.layers.BatchNormalization(momentum=momentum, **options)
    return norm, keras.Sequential([keras.Input((2,)), norm])


def data(rows, mean=3.0, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(mean, 2.0, (rows, 2)).astype("float32")


def check_statistics(norm, values, rtol=1e-5):
    values = np.float64(values)
    np.testing.assert_allclose(norm.moving_mean, values.mean(0), rtol=rtol)
    np.testing.assert_allclose(norm.moving_variance, values.var(0), rtol=rtol)


def test_recalibration_gives_the_statistics_of_the_data():
    """One batch: the moving statistics become that batch's."""
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((2,)), norm])
    x = np.random.default_rng(0).normal(3, 2, (64, 2)).astype("float32")
    snas_keras.recalibrate_batch_norm(model, x)
    np.testing.assert_allclose(norm.moving_mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, x.var(0), rtol=1e-5)
    assert norm.momentum == 0.99


def test_recalibration_averages_over_batches_and_touches_nothing_else():
    inputs = keras.Input((2,))
    x = keras.layers.Dense(2)(inputs)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(x))
    model = keras.Model(inputs, x)
    before = {v.path: v.numpy() for v in model.variables}
    batches = [np.float32([[1.0, 2.0]]), np.float32([[5.0, 0.0]])]
    snas_keras.recalibrate_batch_norm(model, [(b, None) for b in batches])
    changed = {
        v.path.split("/")[-1]
        for v in model.variables
        if not np.array_equal(v, before[v.path])
    }
    assert changed <= {"moving_mean", "moving_variance", "seed_generator_state"}
    dense, norm = model.layers[1], model.layers[2]
    wanted = np.mean([dense(b).numpy() for b in batches], (0, 1))
    np.testing.assert_allclose(norm.moving_mean, wanted, rtol=1e-5)


def two_inputs(kind):
    left, right = keras.Input((2,), name="b"), keras.Input((2,), name="a")
    x = keras.layers.Concatenate()([left, right])
    x = keras.layers.BatchNormalization(name="norm")(x)
    inputs = {"b": left, "a": right} if kind is dict else [left, right]
    return keras.Model(inputs, x)


@pytest.mark.parametrize("kind", [dict, list])
def test_recalibration_takes_several_inputs_as_the_model_does(kind):
    generator = np.random.default_rng(0)
    b, a = generator.normal((3, -1), 2, (8, 2)), generator.normal(size=(8, 2))
    x = {"b": b, "a": a} if kind is dict else [b, a]
    pairs = tf.data.Dataset.from_tensor_slices(
        (x if kind is dict else tuple(x), np.zeros(8))
    )
    for data in (x, (x, np.zeros(8)), [x, x], pairs.batch(4)):
        model = two_inputs(kind)
        snas_keras.recalibrate_batch_norm(model, data)
        np.testing.assert_allclose(
            model.get_layer("norm").moving_mean,
            np.concatenate([b.mean(0), a.mean(0)]),
            rtol=1e-5,
        )


def test_recalibration_takes_no_notice_of_targets():
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((2,)), norm])
    x = np.ones((4, 2), "float32")
    snas_keras.recalibrate_batch_norm(model, (x, 1000.0 * x))
    np.testing.assert_allclose(norm.moving_mean, [1.0, 1.0])


def test_recalibration_leaves_weights_that_a_call_changes():
    dense = keras.layers.SpectralNormalization(keras.layers.Dense(3))
    model = keras.Sequential(
        [keras.Input((2,)), dense, keras.layers.BatchNormalization()]
    )
    before = [np.array(v) for v in dense.variables]
    snas_keras.recalibrate_batch_norm(model, np.ones((4, 2), "float32"))
    for variable, value in zip(dense.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_recalibration_without_data_is_refused():
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((2,)), norm])
    with pytest.raises(ValueError, match="at least one batch"):
        snas_keras.recalibrate_batch_norm(model, [])


def test_data_that_end_in_an_error_change_nothing():
    norm, model = normed()

    def broken():
        yield data(4)
        raise OSError("The disk is gone.")

    with pytest.raises(OSError, match="gone"):
        snas_keras.recalibrate_batch_norm(model, broken())
    np.testing.assert_array_equal(norm.moving_mean, [0.0, 0.0])
    assert "call" not in vars(norm)


class InAFunction(keras.layers.Layer):
    """A layer whose call is a TensorFlow function."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization()

    def build(self, input_shape):
        self.norm.build(input_shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    @tf.function
    def call(self, inputs, training=False):
        return self.norm(inputs, training=training)


class Vectorized(InAFunction):
    def call(self, inputs, training=False):
        def one(x):
            return self.norm(x[None], training=training)[0]

        return tf.vectorized_map(one, inputs) if training else inputs


def test_a_norm_inside_a_tensorflow_function_gets_all_batches():
    x, layer = data(12), InAFunction()
    model = keras.Sequential([keras.Input((2,)), layer])
    model(x, training=True)  # traced with the moving mean as it was
    snas_keras.recalibrate_batch_norm(model, [x[:8], x[8:]])
    check_statistics(layer.norm, x)
    assert not tf.config.functions_run_eagerly()


def test_a_norm_without_values_is_refused():
    layer = Vectorized()
    model = keras.Sequential([keras.Input((2,)), layer])
    with pytest.raises(ValueError, match="'batch_norm.*or freeze it"):
        snas_keras.recalibrate_batch_norm(model, data(4))


class Batches(keras.utils.PyDataset):
    """Gives batches for any index, as Keras allows."""

    def __init__(self, x, size):
        super().__init__()
        self.x, self.size = x, size

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, index):
        index %= len(self)
        x = self.x[index * self.size : (index + 1) * self.size]
        return x, 1000.0 * x, np.ones(len(x))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
def test_batches_of_any_length_give_the_statistics_of_all_their_rows(momentum):
    """A last batch of one row among batches of eight."""
    x = data(17)
    for batches in (
        [x[:8], x[8:16], x[16:]],
        [(x[:8],), (x[8:16], None), (x[16:], None, None)],
        tf.data.Dataset.from_tensor_slices(x).batch(8),
        tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(8),
        Batches(x, 8),
    ):
        norm, model = normed(momentum)
        snas_keras.recalibrate_batch_norm(model, batches)
        check_statistics(norm, x)


def test_data_far_from_zero_keep_their_variance():
    x = data(64, mean=3e4)
    norm, model = normed()
    snas_keras.recalibrate_batch_norm(model, [x[:30], x[30:]])
    check_statistics(norm, x)


def test_steps_are_the_batches_that_are_used():
    x = data(24)
    norm, model = normed()
    endless = tf.data.Dataset.from_tensor_slices(x).batch(8).repeat()
    snas_keras.recalibrate_batch_norm(model, endless, steps=2)
    check_statistics(norm, x[:16])


@pytest.mark.parametrize("own", [False, True])
def test_a_batch_norm_that_is_called_twice_gets_both_inputs(own):
    kind = keras.layers.BatchNormalization
    if own:
        kind = snas_keras.OPERATIONS["nor_conv_1x1"](2).layers[-1].__class__
    a, b = keras.Input((3, 3, 2)), keras.Input((3, 3, 2))
    norm = kind()
    model = keras.Model([a, b], [norm(a), norm(b)])
    x = [data(36 * 2, mean=m, seed=m).reshape(8, 3, 3, 2) for m in (1, 9)]
    snas_keras.recalibrate_batch_norm(model, x)
    check_statistics(norm, np.concatenate([v.reshape(-1, 2) for v in x]))


def test_the_channels_are_those_of_the_axis():
    norm = keras.layers.BatchNormalization(axis=1)
    model = keras.Sequential([keras.Input((2, 5)), norm])
    x = np.random.default_rng(0).normal(size=(8, 2, 5)).astype("float32")
    snas_keras.recalibrate_batch_norm(model, x)
    check_statistics(norm, np.moveaxis(x, 1, -1).reshape(-1, 2), rtol=1e-4)


def test_masked_steps_do_not_count():
    norm = keras.layers.BatchNormalization()
    masking = keras.layers.Masking(0.0)
    model = keras.Sequential([keras.Input((4, 2)), masking, norm])
    x = data(32).reshape(8, 4, 2)
    x[:, 3:] = 0.0
    snas_keras.recalibrate_batch_norm(model, x)
    check_statistics(norm, x[:, :3].reshape(-1, 2))


def test_a_frozen_batch_norm_keeps_its_statistics():
    norm, model = normed()
    norm.trainable = False
    snas_keras.recalibrate_batch_norm(model, data(8))
    np.testing.assert_array_equal(norm.moving_mean, [0.0, 0.0])
    np.testing.assert_array_equal(norm.moving_variance, [1.0, 1.0])


def test_a_batch_norm_works_as_before_afterwards():
    norm, model = normed(momentum=0.5)
    snas_keras.recalibrate_batch_norm(model, data(8))
    assert "call" not in vars(norm)
    before = np.array(norm.moving_mean)
    model(data(8, mean=100.0), training=True)
    assert (np.array(norm.moving_mean) > before + 40.0).all()


def test_inputs_that_the_model_does_not_take_are_refused():
    with pytest.raises(ValueError, match="`data` must have inputs as the mod"):
        snas_keras.recalibrate_batch_norm(two_inputs(dict), [data(4), data(4)])


def test_random_states_are_left_as_they_were():
    dropout = keras.layers.Dropout(0.5, seed=3)
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((2,)), dropout, norm])
    before = {v.path: np.array(v) for v in model.variables}
    snas_keras.recalibrate_batch_norm(model, data(8))
    for variable in model.variables:
        if "moving" not in variable.path:
            np.testing.assert_array_equal(variable, before[variable.path])
