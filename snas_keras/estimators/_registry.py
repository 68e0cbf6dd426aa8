"""The estimators by name. To add one: a file beside this, and a line here."""

from collections.abc import Callable
from typing import Any

import keras

from snas_keras.estimators import (
    _relaxed,
    _single_path,
    _softmax,
    _straight_through,
)
from snas_keras.estimators._estimator import Estimator

ESTIMATORS: dict[str, Estimator] = {
    "relaxed": _relaxed.relaxed,
    "straight_through": _straight_through.straight_through,
    "softmax": _softmax.softmax,
    "single_path": _single_path.single_path,
}


def get(estimator: str | Callable[..., Any]) -> Estimator:
    """Look up an estimator by name, or wrap a function.

    Args:
        estimator: str, one of `ESTIMATORS`, an `Estimator`, or a function
            (logits, temperature, seed) -> weights.

    Returns:
        Estimator.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(estimator, Estimator):
        return estimator
    if callable(estimator):
        return Estimator(estimator)
    if estimator not in ESTIMATORS:
        raise ValueError(
            f"There is no such estimator. Received: estimator={estimator!r}. "
            f"Allowed: {sorted(ESTIMATORS)} or a function (logits, "
            "temperature, seed) -> weights."
        )
    return ESTIMATORS[estimator]


def serialize(estimator: Estimator) -> str | dict[str, Any]:
    """Return the estimator's name, or its Keras config if it has none.

    Args:
        estimator: Estimator.

    Returns:
        str, or dict as `keras.saving.serialize_keras_object` gives it.
    """
    for name, known in ESTIMATORS.items():
        if known is estimator:
            return name
    is_function = estimator.log_density is None and not estimator.runs_one_path
    config: dict[str, Any] = keras.saving.serialize_keras_object(
        estimator.sample if is_function else estimator
    )
    return config


def deserialize(config: str | dict[str, Any]) -> Estimator:
    """Return the estimator of a config.

    Args:
        config: str or dict, as `serialize` returns it.

    Returns:
        Estimator.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(config, dict):
        return get(keras.saving.deserialize_keras_object(config))
    return get(config)
