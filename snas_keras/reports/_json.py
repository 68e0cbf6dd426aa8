"""Values that JSON can hold, written from anything and checked when read."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from snas_keras._utils import sealed


def dumps(content: Any, **options: Any) -> str:
    """Write content as JSON that every reader takes.

    Args:
        content: anything; see `plain`.
        **options: passed to `json.dumps`.

    Returns:
        str. What is not a finite number is null.

    Example:

    >>> dumps({"loss": float("nan"), "cost": np.float32(2.5)})
    '{"loss": null, "cost": 2.5}'
    """
    return json.dumps(plain(content), allow_nan=False, **options)


def dumps_sealed(content: dict[str, Any], **options: Any) -> str:
    """Write an object as JSON with a checksum, which `sealed.loads` proves.

    Args:
        content: dict; see `plain`.
        **options: passed to `json.dumps`.

    Returns:
        str.
    """
    return dumps(sealed.seal(plain(content)), **options)


def plain(value: Any) -> Any:
    """Return a value as JSON has it.

    Args:
        value: None, bool, str, a number of Python or NumPy, an array, a tensor,
            a variable, or a dict, list or tuple of them.

    Returns:
        dict, list, str, bool, int, finite float or None; what is not finite is
        None, and what is none of these its `str`.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return _of_array(value)


def _of_array(value):
    try:
        # NumPy cannot ask a tensor of bfloat16 for its array.
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        if array.dtype.kind not in "biu":
            # NumPy has no kind of its own for bfloat16.
            array = array.astype("float64")
    except (TypeError, ValueError):
        return str(value)
    return plain(array.tolist())


def integer(value: Any) -> int:
    """Return an int, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong("an integer", value)
    return value


def number(value: Any) -> float:
    """Return a float, NaN for null, or raise ValueError."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong("a number or null", value)
    try:
        value = float(value)
    except OverflowError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def number_or_none(value: Any) -> float | None:
    """Return a float, None for null, or raise ValueError."""
    return None if value is None else number(value)


def text(value: Any) -> str:
    """Return a str, or raise ValueError."""
    if not isinstance(value, str):
        raise _wrong("a text", value)
    return value


def mapping(value: Any) -> dict[str, Any]:
    """Return a dict, or raise ValueError."""
    if not isinstance(value, dict):
        raise _wrong("an object", value)
    return value


def list_of(read: Callable) -> Callable:
    """Make a reader of lists, whose elements `read` takes.

    Args:
        read: function (value) -> value that raises ValueError.

    Returns:
        function (value) -> list.
    """

    def read_list(value):
        if not isinstance(value, list):
            raise _wrong("a list", value)
        return [read(x) for x in value]

    return read_list


def dict_of(read: Callable) -> Callable:
    """Make a reader of objects, whose values `read` takes.

    Args:
        read: function (value) -> value that raises ValueError.

    Returns:
        function (value) -> dict.
    """

    def read_dict(value):
        return {key: _at(key, read, x) for key, x in mapping(value).items()}

    return read_dict


def optional(read: Callable) -> Callable:
    """Make a reader that takes null for None.

    Args:
        read: function (value) -> value that raises ValueError.

    Returns:
        function (value) -> value or None.
    """
    return lambda value: None if value is None else read(value)


def fields(content: Any, readers: dict[str, Callable], **defaults: Any) -> dict:
    """Read the entries of an object.

    Args:
        content: what JSON held.
        readers: {key: function (value) -> value that raises ValueError}.
        **defaults: values of keys that may be missing.

    Returns:
        {key: value}, of all `readers`; other keys are left out.

    Raises:
        ValueError: `content` is no object, a key is missing, or a value is not
            what its reader takes; the message names the key.
    """
    content = {**defaults, **mapping(content)}
    missing = [key for key in readers if key not in content]
    if missing:
        raise ValueError(f"{missing[0]!r} must be there, and is missing")
    return {key: _at(key, read, content[key]) for key, read in readers.items()}


def _at(key, read, value):
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{key!r} {error}") from None


def _wrong(allowed, value):
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
    return ValueError(f"must be {allowed}. Received: {shown}")
