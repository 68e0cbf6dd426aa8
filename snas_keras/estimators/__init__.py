"""Estimators: how logits become the weights of candidates."""

from snas_keras.estimators._snas import (
    ESTIMATORS,
    LOG_DENSITIES,
    deserialize,
    fold_seed,
    get,
    relaxed,
    serialize,
    single_path,
    softmax,
    straight_through,
)

__all__ = [
    "ESTIMATORS",
    "relaxed",
    "single_path",
    "softmax",
    "straight_through",
]
