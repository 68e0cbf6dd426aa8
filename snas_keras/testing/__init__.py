"""Conformance checks for user-defined parts.

Whoever adds an operation, a space, a cost, an estimator or an oracle can run
the checks that the built-in ones pass. Each returns None, or raises
AssertionError with the promise that is broken.
"""

from snas_keras.testing._costs import check_cost
from snas_keras.testing._estimators import check_estimator
from snas_keras.testing._operations import check_operation
from snas_keras.testing._oracles import check_oracle
from snas_keras.testing._search_spaces import check_search_space
from snas_keras.testing._space import check_space

__all__ = [
    "check_cost",
    "check_estimator",
    "check_operation",
    "check_oracle",
    "check_search_space",
    "check_space",
]
