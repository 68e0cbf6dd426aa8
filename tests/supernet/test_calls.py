"""A supernet that is called: in evaluation, by an own loop, in a model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras


def test_a_supernet_is_no_layer_of_another_model(dense_space):
    supernet = snas_keras.build_supernet(dense_space)
    with pytest.raises(ValueError, match=r"cannot be a layer.*convert\("):
        supernet(keras.Input((6,)))


def test_a_training_loop_of_ones_own_draws_and_learns(dense_space, features):
    supernet = snas_keras.build_supernet(dense_space)
    x = tf.constant(features[0][:8])
    outputs = []
    for step in range(2):
        with tf.GradientTape() as tape:
            y = supernet(x, training=True)
            loss = tf.reduce_sum(y**2)
        logits = [v.value for v in supernet.architecture.logits.values()]
        assert all(np.any(g) for g in tape.gradient(loss, logits))
        z = supernet.architecture.sample(step)
        np.testing.assert_allclose(
            y, supernet.network([x, z], training=True), atol=1e-6
        )
        outputs.append(np.array(y))
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    assert int(supernet.step) == 2


@pytest.mark.parametrize("steps", [1, 4])
def test_sampled_evaluation_draws_anew_for_each_batch(
    dense_space, features, steps
):
    supernet = snas_keras.build_supernet(dense_space)
    supernet.compile(loss="mse", steps_per_execution=steps)
    x, y = features[0], np.ones((64, 3), "float32")
    losses = []
    for batch in range(4):
        part = slice(16 * batch, 16 * batch + 16)
        z = supernet.architecture.sample(-1 - batch)
        y_pred = supernet.network([tf.constant(x[part]), z])
        losses.append(np.mean((y_pred - y[part]) ** 2))
    for _ in range(2):  # Each evaluation begins with the same draws.
        found = supernet.evaluate(
            x, y, batch_size=16, weights="sample", verbose=0
        )
        assert found == pytest.approx(np.mean(losses), rel=1e-5)
    assert np.std(losses) > 1e-4


def test_arrays_train_eagerly(dense_space, features):
    supernet = snas_keras.build_supernet(dense_space)
    supernet.compile(loss="mse", run_eagerly=True)
    logs = supernet.train_on_batch(
        features[0], np.ones((64, 3)), return_dict=True
    )
    assert np.isfinite(logs["loss"])
