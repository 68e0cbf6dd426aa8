"""Validation of names of choices and candidates, and of weights by name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras import ops


def scope_name(name: str) -> str:
    """Convert a name to one that TensorFlow accepts for layers and variables.

    Args:
        name: str, any name.

    Returns:
        str, with "_" for each invalid character, and not beginning with "_".

    Example:

    >>> [scope_name(x) for x in ("block 0", "_own", "normal_0->2", "a>|b")]
    ['block_0', 'x_own', 'normal_0->2', 'a__b']
    """
    name = re.sub(r"[^A-Za-z0-9_.>-]", "_", name)
    # The part after a ">" must begin like a name.
    name = re.sub(r">(?![A-Za-z0-9.])", "_", name)
    return name if name[0].isalnum() else f"x{name}"


def check_choices(
    choices: Mapping[str, Iterable[str]],
) -> dict[str, tuple[str, ...]]:
    """Validate the choices of an architecture.

    Args:
        choices: mapping of str to sequence of str.

    Returns:
        {choice name: tuple of candidate names}.

    Raises:
        TypeError: a name is not a str.
        ValueError: no choice, no candidate, an invalid name, or a repeated
            candidate.
    """
    if not choices:
        raise ValueError(
            "An architecture needs at least one choice. Received: "
            f"choices={choices!r}"
        )
    return {n: check_choice(n, c) for n, c in choices.items()}


def check_choice(name: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Validate one choice, and return its candidate names as a tuple.

    Args:
        name: str, name of the choice.
        candidates: iterable of str, names of its candidates.

    Returns:
        tuple of str.

    Raises:
        TypeError: a name is not a str.
        ValueError: no candidate, an invalid name, or a repeated candidate.
    """
    candidates = tuple(candidates)
    for word in (name, *candidates):
        if not isinstance(word, str):
            raise TypeError(
                "Names of choices and candidates must be str. Received: "
                f"{word!r} in choice {name!r}"
            )
        if not word or "/" in word:
            raise ValueError(
                "Names of choices and candidates must not be empty or contain "
                f"'/'. Received: {word!r} in choice {name!r}"
            )
    if not candidates:
        raise ValueError(
            f"Choice {name!r} needs at least one candidate. Received: "
            "candidates=()"
        )
    if len(set(candidates)) < len(candidates):
        raise ValueError(
            f"The candidates of choice {name!r} must have different names. "
            f"Received: candidates={candidates}"
        )
    return candidates


def check_weights(
    weights: Mapping[str, Any], choices: Mapping[str, Sequence[str]]
) -> None:
    """Raise ValueError if weights do not fit the choices.

    Args:
        weights: mapping {choice name: weights, shape (candidates,)}.
        choices: {choice name: candidate names}.

    Raises:
        ValueError: a choice is missing or unknown, a length is wrong, or a
            weight is negative.
    """
    if not hasattr(weights, "keys") or set(weights) != set(choices):
        names = sorted(weights) if hasattr(weights, "keys") else weights
        raise ValueError(
            "The weights need one entry for each choice. Received: "
            f"{names!r}. The choices are: {sorted(choices)}"
        )
    for name, values in weights.items():
        values = ops.convert_to_numpy(values)
        if values.shape != (len(choices[name]),) or not (values >= 0).all():
            raise ValueError(
                f"The weights of choice {name!r} must be {len(choices[name])} "
                f"numbers, none negative. Received: {values}"
            )


def check_one_hot(weights: Mapping[str, Any]) -> None:
    """Raise ValueError if weights are not one-hot, as a single path needs.

    Args:
        weights: mapping {choice name: weights, shape (candidates,)}.

    Raises:
        ValueError: a choice has none or several weights above zero.
    """
    for name, values in weights.items():
        values = ops.convert_to_numpy(values)
        if sorted(values)[:-1] != [0.0] * (len(values) - 1):
            raise ValueError(
                "A single path runs one candidate: all weights of a choice but "
                f"one must be 0. Received: {values} for choice {name!r}"
            )
