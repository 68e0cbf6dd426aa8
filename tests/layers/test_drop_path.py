"""Drop path: the layer, its schedule, and the network without it."""

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import layers

N, RATE = 4000, 0.3
OPTIONS = {
    "cells": 3,
    "channels": 2,
    "input_shape": (8, 8, 3),
    "candidates": {"sep": "sep_conv_3x3", "skip": "skip_connect"},
}
X = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")


def dropped(rate=RATE, shape=(N, 2, 2, 3), seed=1, dtype=None):
    layer = layers.DropPath(rate, seed=seed, dtype=dtype)
    return np.array(layer(np.ones(shape, "float32"), training=True))


def test_a_mask_is_for_a_whole_example():
    y = dropped()
    per_example = y.reshape(N, -1)
    assert (per_example == per_example[:, :1]).all()
    np.testing.assert_allclose(np.unique(y), [0.0, 1.0 / (1.0 - RATE)])


def test_the_rate_is_the_share_that_is_dropped_and_the_mean_is_kept():
    """Six deviations of a mean of N draws."""
    y = dropped()[:, 0, 0, 0]
    deviation = np.sqrt(RATE * (1 - RATE) / N)
    assert np.mean(y == 0.0) == pytest.approx(RATE, abs=6 * deviation)
    assert y.mean() == pytest.approx(1.0, abs=6 * deviation / (1 - RATE))


def test_edges_have_masks_of_their_own():
    """Two masks agree where both keep or both drop: 0.58 of the examples."""
    keras.utils.set_random_seed(0)
    masks = [dropped(seed=None)[:, 0, 0, 0] == 0.0 for _ in range(2)]
    agree = RATE**2 + (1 - RATE) ** 2
    deviation = np.sqrt(agree * (1 - agree) / N)
    assert np.mean(masks[0] == masks[1]) == pytest.approx(
        agree, abs=6 * deviation
    )


def test_every_call_has_its_own_mask_and_a_seed_repeats_it():
    layer = layers.DropPath(RATE, seed=5)
    x = np.ones((64, 3), "float32")
    first, second = (layer(x, training=True).numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    again = layers.DropPath(RATE, seed=5)(x, training=True)
    np.testing.assert_array_equal(first, again)


def test_outside_training_and_at_rate_zero_nothing_changes():
    layer = layers.DropPath(RATE)
    np.testing.assert_array_equal(layer(X), X)
    np.testing.assert_array_equal(dropped(0.0), 1.0)


def test_the_mask_keeps_float32_under_half_precision():
    layer = layers.DropPath(0.3, dtype="mixed_float16")
    assert layer.rate.dtype == "float32"
    assert layer(X, training=True).dtype == "float16"


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rates_outside_the_range_are_refused(rate):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        layers.DropPath(rate)
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        snas_keras.DropPathSchedule(rate)


def child_with_drop_path(drop_path=0.2, **options):
    keras.utils.set_random_seed(0)
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        **{**OPTIONS, **options}, drop_path=drop_path
    )
    return snas_keras.build_child(space, space.random_genotype(1))


def drop_paths(model):
    return [
        x for x in model._flatten_layers() if isinstance(x, layers.DropPath)
    ]


class Rates(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        rates = {float(x.rate) for x in drop_paths(self.model)}
        assert len(rates) == 1
        self.seen.append(rates.pop())


def test_the_schedule_rises_by_epoch_as_in_the_papers_code():
    parts = [keras.layers.Dense(3), layers.DropPath(0.5)]
    model = keras.Sequential([keras.Input((3,)), *parts])
    traced = []

    def loss(y, y_pred):
        traced.append(1)
        return keras.ops.sum((y - y_pred) ** 2)

    model.compile("sgd", loss)
    rates = Rates()
    x = np.ones((8, 3), "float32")
    model.fit(
        x,
        x,
        batch_size=4,
        epochs=4,
        verbose=0,
        callbacks=[snas_keras.DropPathSchedule(0.2), rates],
    )
    expected = np.repeat([0.0, 0.05, 0.1, 0.15], 2)
    np.testing.assert_allclose(rates.seen, expected, rtol=1e-6)
    # Once for the symbolic build, once for the graph: not for every rate.
    assert len(traced) <= 2


def test_the_schedule_ends_at_the_published_rate():
    callback = snas_keras.DropPathSchedule(0.2)
    model = keras.Sequential([keras.Input((3,)), layers.DropPath(0.5)])
    callback.set_model(model)
    callback.set_params({"epochs": 600})
    callback.on_train_begin()
    callback.on_epoch_begin(599)
    rate = float(drop_paths(model)[0].rate)
    assert rate == pytest.approx(0.19967, abs=5e-6)


def test_a_model_without_drop_path_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="has no DropPath layer"):
        model.fit(
            np.ones((2, 3)),
            np.ones((2, 1)),
            verbose=0,
            callbacks=[snas_keras.DropPathSchedule()],
        )


def test_for_inference_leaves_drop_path_and_the_auxiliary_head_out():
    child = child_with_drop_path(
        auxiliary=True, input_shape=(32, 32, 3), cells=4
    )
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    assert drop_paths(child)
    plain = snas_keras.for_inference(child, "logits")
    np.testing.assert_array_equal(plain(x), child(x)["logits"])
    assert plain.count_params() < child.count_params() - 100_000
    kinds = {type(layer).__module__ for layer in plain._flatten_layers()}
    assert all(kind.startswith("keras.") for kind in kinds)
    both = snas_keras.for_inference(child)
    assert set(both.output) == {"logits", "auxiliary"}
    assert not drop_paths(both)


def test_for_inference_refuses_an_unknown_output():
    child = child_with_drop_path()
    with pytest.raises(ValueError, match="no such output.*'auxiliary'"):
        snas_keras.for_inference(child, "auxiliary")


def test_convert_puts_the_stock_layer_in_its_place():
    space = snas_keras.SEARCH_SPACES["snas_cifar"](**OPTIONS, drop_path=0.25)
    supernet = snas_keras.build_supernet(space)
    child = snas_keras.convert(supernet, space.random_genotype(1))
    assert not drop_paths(child)
    drops = [x for x in child.layers if isinstance(x, keras.layers.Dropout)]
    assert {x.rate for x in drops} == {0.25}
    assert {tuple(x.noise_shape) for x in drops} == {(None, 1, 1, 1)}
    weights = supernet.architecture.one_hot(space.random_genotype(1))
    np.testing.assert_array_equal(
        child(X), supernet.network([keras.ops.convert_to_tensor(X), weights])
    )


def test_a_child_with_drop_path_survives_its_file(tmp_path):
    child = child_with_drop_path()
    for layer in drop_paths(child):
        layer.rate.assign(0.125)
    child.save(tmp_path / "child.keras")
    loaded = keras.models.load_model(tmp_path / "child.keras")
    assert {float(x.rate) for x in drop_paths(loaded)} == {0.125}
    np.testing.assert_array_equal(loaded(X), child(X))
