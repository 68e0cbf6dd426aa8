"""Shared parts of the checks: promises and comparisons of structures."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from snas_keras import supernet as supernet_lib


@contextlib.contextmanager
def promised(subject: str, promise: str) -> Iterator[None]:
    """Name the subject and the promise in whatever goes wrong inside.

    Args:
        subject: str, what is checked.
        promise: str, what it must do.

    Raises:
        AssertionError: anything was raised inside.
    """
    try:
        yield
    except Exception as error:
        raise AssertionError(
            f"{subject} must {promise}. {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def unjudged() -> Iterator[None]:
    """Say nothing of what a search has come to: it has seen some batches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", supernet_lib.SearchWarning)
        yield


def require(condition: Any, message: str) -> None:
    """Raise AssertionError unless a condition holds.

    Args:
        condition: anything with a truth.
        message: str, what was found.
    """
    if not condition:
        raise AssertionError(message)


def check_close(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Compare structures of tensors, relative to the largest value.

    Args:
        found: structure of tensors.
        expected: structure of tensors.
        tolerance: float, share of the largest value, or of one where all are
            smaller; default 1e-5.
    """
    check_same_shapes(found, expected)
    pairs = zip(*map(keras.tree.flatten, (found, expected)), strict=True)
    for a, b in pairs:
        atol = tolerance * max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def check_same_shapes(found: Any, expected: Any) -> None:
    """Compare the shapes of structures of tensors.

    Args:
        found: structure of tensors.
        expected: structure of tensors.
    """
    first, second = (
        keras.tree.map_structure(lambda x: tuple(x.shape), tensors)
        for tensors in (found, expected)
    )
    require(first == second, f"The shapes are {first} and {second}.")
