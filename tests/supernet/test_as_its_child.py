"""A supernet that is sure of one child trains and answers as that child."""

import keras
import numpy as np
import pytest

import snas_keras

KL = keras.layers
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 3)).astype("float32")


class Watched(KL.Layer):
    """Has a metric of its own, which no list of weights names."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = keras.metrics.Mean(name="seen")

    def call(self, inputs):
        self.seen.update_state(keras.ops.mean(inputs))
        return 2.0 * inputs


CANDIDATES = {
    "spectral": lambda: KL.SpectralNormalization(KL.Dense(4)),
    "watched": Watched,
    "normalized": lambda: keras.Sequential(
        [KL.Dense(4), KL.BatchNormalization()]
    ),
    "penalized": lambda: KL.Dense(
        4, "relu", kernel_regularizer="l2", activity_regularizer="l2"
    ),
    "constrained": lambda: KL.Dense(4, kernel_constraint="non_neg"),
}


def sure_of(name, estimator):
    @snas_keras.search_space
    def space(choose):
        inputs = keras.Input((4,))
        block = {name: CANDIDATES[name], "other": KL.Dense(4)}
        return inputs, KL.Dense(3)(choose("block", block)(inputs))

    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(space(), estimator)
    supernet.architecture.logits["block"].assign([80.0, -80.0])
    return supernet


def fit(model, *optimizers):
    model.compile(*optimizers, loss="mse", metrics=["mae"])
    data = {"x": X, "y": Y, "batch_size": 4}
    history = model.fit(**data, epochs=2, shuffle=False, verbose=0).history
    return history, model.evaluate(**data, return_dict=True, verbose=0)


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
@pytest.mark.parametrize("name", CANDIDATES)
def test_a_supernet_sure_of_its_child_trains_as_keras_trains_the_child(
    name, estimator
):
    supernet = sure_of(name, estimator)
    child = snas_keras.convert(supernet)
    sgd, still = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.0)
    (found, after) = fit(supernet, sgd, still)
    (expected, expected_after) = fit(child, keras.optimizers.SGD(0.1))
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-4, err_msg=key)
    for key, value in expected_after.items():
        assert after[key] == pytest.approx(value, rel=1e-4), key


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_losses_of_candidates_in_half_precision_count(
    policy, estimator, restored_policy
):
    keras.config.set_dtype_policy("float32")
    supernet = sure_of("penalized", estimator)
    _, expected = fit(supernet, "sgd", keras.optimizers.SGD(0.0))
    keras.config.set_dtype_policy(policy)
    supernet = sure_of("penalized", estimator)
    _, found = fit(supernet, "sgd", keras.optimizers.SGD(0.0))
    assert found["loss"] == pytest.approx(expected["loss"], rel=0.05)


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
def test_a_search_in_double_precision_trains(estimator, restored_policy):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        supernet = sure_of("penalized", estimator)
        child = snas_keras.convert(supernet)
        _, found = fit(supernet, "sgd", keras.optimizers.SGD(0.0))
        _, expected = fit(child, "sgd")
    finally:
        keras.config.set_floatx("float32")
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)


@pytest.fixture
def restored_policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)
