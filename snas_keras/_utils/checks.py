"""Validation of arguments."""

import numbers
from collections.abc import Collection
from typing import Any


def one_of(name: str, value: Any, allowed: Collection[Any]) -> Any:
    """Return `value` if it is allowed, or raise ValueError.

    Args:
        name: str, the argument's name, for the message.
        value: the argument's value.
        allowed: collection of allowed values.
    """
    if value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {list(allowed)}. Received: "
            f"{name}={value!r}"
        )
    return value


def check_supernet(supernet: Any) -> Any:
    """Return what has a network and an architecture, or raise TypeError.

    Args:
        supernet: SuperNet.
    """
    if not (hasattr(supernet, "architecture") and hasattr(supernet, "network")):
        raise TypeError(
            "Expected a SuperNet, as `build_supernet` makes it of a search "
            "space; a child or another model has no choices left. Received: "
            f"{supernet!r}"
        )
    return supernet


def check_temperature(temperature: Any) -> float:
    """Return the temperature as a float, or raise ValueError.

    Args:
        temperature: number, positive and finite.
    """
    if not 0.0 < float(temperature) < float("inf"):
        raise ValueError(
            "`temperature` must be positive and finite. Received: "
            f"temperature={temperature}"
        )
    return float(temperature)


def drop_rate(rate: Any) -> float:
    """Return the rate as a float, or raise ValueError.

    Args:
        rate: number, at least 0 and below 1.
    """
    if not 0.0 <= float(rate) < 1.0:
        raise ValueError(
            f"`rate` must be at least 0 and below 1. Received: rate={rate}"
        )
    return float(rate)


def positive_int(name: str, value: Any) -> int:
    """Return `value` if it is a positive int, or raise ValueError.

    Args:
        name: str, the argument's name, for the message.
        value: the argument's value, of Python's or NumPy's types.
    """
    is_int = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_int or value < 1:
        raise ValueError(
            f"`{name}` must be a positive int. Received: {name}={value!r}"
        )
    return int(value)
