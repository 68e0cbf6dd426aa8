"""Conformance checks for what users bring."""

from snas_keras.testing._checks import (
    check_cost,
    check_estimator,
    check_operation,
    check_search_space,
)

__all__ = [
    "check_cost",
    "check_estimator",
    "check_operation",
    "check_search_space",
]
