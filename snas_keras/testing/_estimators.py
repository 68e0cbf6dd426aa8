"""Conformance check of estimators."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from snas_keras import estimators
from snas_keras.testing._promise import promised, require

_ROWS = 1000


def check_estimator(estimator: str | Callable[..., Any]) -> None:
    """Check what every estimator promises.

    Its weights are not negative, sum to one and are like the logits in shape
    and dtype; the same seed gives the same weights, eagerly and in a graph; a
    larger logit gets more weight on average; the gradient with respect to the
    logits is finite. If it draws at random: the draws become one-hot for
    temperature -> 0, and uniform for temperature -> infinity unless they are
    one-hot at every temperature.

    Args:
        estimator: str or function (logits, temperature, seed) -> weights, one
            of `snas_keras.ESTIMATORS`.

    Raises:
        AssertionError: a promise is broken.
        ValueError: there is no estimator of that name.
    """
    function = estimators.get(estimator)
    checks = {
        "give weights that sum to one, like the logits": _check_weights,
        "depend on nothing but its arguments": _check_purity,
        "give a larger logit more weight on average": _check_order,
        "pass a finite gradient to the logits": _check_gradient,
        "follow the temperature": _check_temperature_limits,
    }
    for promise, check in checks.items():
        with promised(f"Estimator {estimator!r}", promise):
            check(function)


def _draw(estimator, logits, temperature=1.0, seed=(17, 3)):
    logits = tf.convert_to_tensor(logits, "float32")
    temperature = tf.constant(temperature, "float32")
    return estimator(logits, temperature, tf.constant(seed, "int32"))


def _check_weights(estimator):
    extreme = np.float32([[50.0, -50.0], [-50.0, 50.0]])
    for logits in (np.zeros(1), np.zeros((3, 2)), np.zeros((2, 64)), extreme):
        for temperature in (0.03, 1.0, 10.0):
            weights = _draw(estimator, logits, temperature)
            given = f"logits of shape {logits.shape}, {temperature=}"
            require(
                weights.shape == logits.shape and weights.dtype == "float32",
                f"{weights.dtype} of shape {weights.shape} came from {given}.",
            )
            error = np.abs(np.sum(weights, -1) - 1).max()
            require(
                np.min(weights) >= 0 and error <= 1e-5,
                f"{weights.numpy()} came from {given}.",
            )


def _check_purity(estimator):
    logits = np.float32([0.5, -1.0, 2.0])
    first, again = _draw(estimator, logits), _draw(estimator, logits)
    require(
        np.array_equal(first, again), f"One seed gave {first}, then {again}."
    )
    graph = tf.function(lambda x: _draw(estimator, x))(logits)
    require(
        np.allclose(graph, first, atol=1e-5),
        f"It gave {first} eagerly and {graph} in a graph.",
    )


def _check_order(estimator):
    """Of 1000 draws, logits 2 apart are never close to equally frequent."""
    logits = np.tile([0.0, 2.0, -2.0], (_ROWS, 1))
    middle, high, low = np.mean(_draw(estimator, logits), 0)
    require(
        high > middle >= low,
        f"Logits 2, 0 and -2 got {high}, {middle} and {low}.",
    )


def _check_gradient(estimator):
    for row in ([0.5, -1.0, 2.0], [50.0, -50.0, 0.0]):
        for temperature in (0.03, 1.0):
            logits = tf.Variable(row)
            with tf.GradientTape() as tape:
                weights = _draw(estimator, logits, temperature)
                total = tf.reduce_sum(weights * [1.0, 2.0, 4.0])
            gradient = tape.gradient(total, logits)
            require(gradient is not None, "There is no gradient.")
            require(np.isfinite(gradient).all(), f"It is {gradient}.")
            is_extreme = max(row) > 2 or temperature < 1
            require(is_extreme or np.any(gradient), "It is zero.")


def _check_temperature_limits(estimator):
    logits = np.tile([0.0, 0.5, 1.0], (_ROWS, 1))
    seeds = (_draw(estimator, logits, seed=(5, n)) for n in range(2))
    if np.array_equal(*seeds):
        return  # It does not draw.
    share = (np.max(_draw(estimator, logits, 1e-3), -1) > 0.99).mean()
    require(
        share > 0.95, f"Of the draws at temperature 1e-3, {share} are one-hot."
    )
    hot = _draw(estimator, logits, 1e4).numpy()
    is_hard = (hot.max(-1) == 1).all()
    require(
        is_hard or np.abs(hot - 1 / 3).max() < 1e-2,
        f"At temperature 1e4 the largest weight is {hot.max()}, not 1/3.",
    )
