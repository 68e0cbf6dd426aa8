"""The two optimizers of a supernet, and what may change them."""

import warnings

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras.supernet import _optimizers


def kernels(supernet):
    return {
        (edge.choice, name): np.array(layer.kernel)
        for edge in snas_keras.layers.mixed_edges(supernet.network)
        for name, layer in edge.candidates.items()
    }


@pytest.mark.parametrize(
    ("optimizer", "eager"),
    [
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9), False),
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9), True),
        (lambda: keras.optimizers.Adam(0.01), True),
        (lambda: keras.optimizers.AdamW(0.01, weight_decay=0.5), False),
        (lambda: keras.optimizers.SGD(0.1, use_ema=True), True),
        (lambda: snas_keras.CoupledSGD(0.1, weight_decay=0.1), False),
    ],
)
def test_a_single_path_moves_what_it_has_run_and_nothing_else(
    dense_space, features, optimizer, eager
):
    supernet = snas_keras.build_supernet(dense_space, "single_path", seed=1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    supernet.compile(
        optimizer(), keras.optimizers.SGD(0.0), loss, run_eagerly=eager
    )
    x, y = features[0][:8], features[1][:8]
    for step in range(6):
        drawn = supernet.architecture.sample(step)
        names = supernet.architecture.choices
        ran = {(c, names[c][int(np.argmax(z))]) for c, z in drawn.items()}
        before = kernels(supernet)
        supernet.train_on_batch(x, y)
        moved = {
            key
            for key, kernel in kernels(supernet).items()
            if np.any(kernel != before[key])
        }
        assert moved == ran


def test_what_an_optimizer_keeps_for_a_candidate_stands_still_too(
    dense_space, features
):
    supernet = snas_keras.build_supernet(dense_space, "single_path")
    supernet.compile(keras.optimizers.Adam(0.01), loss="mae")
    x, y = features[0], np.ones((64, 3))
    for _ in range(6):
        supernet.train_on_batch(x, y)
    supernet.architecture.logits["block_0"].assign([60.0, -60.0, -60.0])
    weights = _optimizers.parts(supernet.optimizer)[1]
    [edge, _] = snas_keras.layers.mixed_edges(supernet.network)
    path = edge.candidates["tanh"].kernel.path.replace("/", "_")
    kept = [v for v in weights.variables if path in v.path]
    before = [np.array(v) for v in kept]
    assert len(kept) == 2
    assert all(np.any(value) for value in before)
    supernet.train_on_batch(x, y)
    for variable, value in zip(kept, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_scheduler_of_rates_leaves_that_of_the_logits(dense_space, features):
    supernet = snas_keras.build_supernet(dense_space)
    supernet.compile(
        keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.003), "mae"
    )
    schedule = keras.callbacks.LearningRateScheduler(lambda e: 0.5 ** (e + 1))
    with pytest.warns(UserWarning, match="The logits keep theirs, 0.003"):
        supernet.fit(
            features[0],
            np.ones((64, 3)),
            epochs=2,
            verbose=0,
            callbacks=[schedule],
        )
    logits, weights = _optimizers.parts(supernet.optimizer)
    assert float(weights.learning_rate) == pytest.approx(0.25)
    assert float(logits.learning_rate) == pytest.approx(0.003)


def test_a_schedule_of_the_logits_stands_beside_a_scheduler(
    dense_space, features
):
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    supernet = snas_keras.build_supernet(dense_space)
    supernet.compile("sgd", keras.optimizers.SGD(decay), "mae")
    epochs = []

    def rate(epoch):
        epochs.append(epoch)
        return 0.5

    scheduler = keras.callbacks.LearningRateScheduler(rate)
    y = np.ones((64, 3))
    data = {"x": features[0], "y": y, "batch_size": 64, "verbose": 0}
    with pytest.warns(UserWarning, match="The logits keep theirs, 0.1"):
        supernet.fit(**data, epochs=2, callbacks=scheduler)
    logits, weights = _optimizers.parts(supernet.optimizer)
    assert float(logits.learning_rate) == pytest.approx(0.025)
    assert float(weights.learning_rate) == pytest.approx(0.5)
    assert len(set(epochs)) == 2
    assert scheduler.model is supernet


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_callbacks_move_rates_under_a_loss_scale(
    dense_space, features, is_scheduled
):
    keras.config.set_dtype_policy("mixed_float16")
    supernet = snas_keras.build_supernet(dense_space)
    supernet.compile(
        keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.01), "mae"
    )
    plateau = keras.callbacks.ReduceLROnPlateau(
        "loss", patience=1, factor=0.5, min_delta=100.0
    )
    scheduler = keras.callbacks.LearningRateScheduler(lambda e: 0.05)
    callback = scheduler if is_scheduled else plateau
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        supernet.fit(
            features[0],
            np.ones((64, 3)),
            epochs=2,
            verbose=0,
            callbacks=[callback],
        )
    logits, weights = _optimizers.parts(supernet.optimizer)
    assert float(weights.learning_rate) == pytest.approx(0.05)
    expected = 0.01 if is_scheduled else 0.005
    assert float(logits.learning_rate) == pytest.approx(expected)


def test_a_loss_scale_optimizer_scales_both(dense_space, features):
    keras.config.set_dtype_policy("mixed_float16")
    supernet = snas_keras.build_supernet(dense_space)
    inner = keras.optimizers.Adam(0.01)
    supernet.compile(
        keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0),
        loss="mae",
    )
    assert supernet.optimizer.initial_scale == 64.0
    assert _optimizers.parts(supernet.optimizer)[1] is inner
    history = supernet.fit(
        features[0], np.ones((64, 3)), epochs=3, verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()


def test_compile_understands_the_order_of_keras(dense_space):
    supernet = snas_keras.build_supernet(dense_space)
    supernet.compile("adam", "mse")
    assert supernet.loss == "mse"
    supernet.compile("adam", "sgd", "mae")
    assert supernet.loss == "mae"
    logits, _ = _optimizers.parts(supernet.optimizer)
    assert isinstance(logits, keras.optimizers.SGD)
    with pytest.raises(ValueError, match="architecture_optimizer='mse'"):
        supernet.compile("adam", "mse", ["mae"])
