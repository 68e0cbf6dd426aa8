"""Estimators: functions of logits that return the weights of candidates.

To add one, write a file beside the others, and a line in `_registry.py`.
"""

from snas_keras.estimators._estimator import Estimator, fold_seed
from snas_keras.estimators._registry import (
    ESTIMATORS,
    deserialize,
    get,
    serialize,
)
from snas_keras.estimators._relaxed import relaxed
from snas_keras.estimators._single_path import single_path
from snas_keras.estimators._softmax import softmax
from snas_keras.estimators._straight_through import straight_through

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "relaxed",
    "single_path",
    "softmax",
    "straight_through",
]
