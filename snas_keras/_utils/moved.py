"""Deprecated import paths and names."""

import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def module(
    name: str,
    new_names: Mapping[str, tuple[Any, str]],
    package: str = "snas_keras",
) -> types.ModuleType:
    """Keep a module importable that is gone.

    Args:
        name: str, of the old module, below `package`.
        new_names: {old name: (object, str, where it is now)}.
        package: str, default "snas_keras".

    Returns:
        module, to be bound in the package under `name`.
    """
    path = f"{package}.{name}"
    old = types.ModuleType(path, f"Moved; see {sorted(new_names)}.")
    # Functions of a module that Python looks for (PEP 562).
    vars(old)["__getattr__"] = attributes(path, new_names)
    vars(old)["__dir__"] = lambda: sorted(new_names)
    sys.modules[path] = old
    return old


def attributes(
    path: str, new_names: Mapping[str, tuple[Any, str]]
) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module with old names.

    Args:
        path: str, of the module, for messages.
        new_names: {old name: (object, str, where it is now)}.

    Returns:
        function (str) -> object. It warns with DeprecationWarning, and raises
        AttributeError for what never was.
    """

    def find(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {path!r} has no attribute {name!r}")
        found, now = new_names[name]
        warnings.warn(
            f"{path}.{name} is now {now}; the old name goes with the next "
            "minor version.",
            DeprecationWarning,
            stacklevel=2,
        )
        return found

    return find
