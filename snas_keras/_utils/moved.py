"""Deprecated import paths and names."""

import importlib
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def modules(old: Mapping[str, Mapping[str, str]], package: str) -> None:
    """Keep modules importable that are gone.

    Args:
        old: {name of the module below `package`: {room: names, separated by
            spaces, that stand there now}}.
        package: str, "snas_keras".
    """
    for name, rooms in old.items():
        places = {
            moved: (f"{package}.{room}", moved)
            for room, names in rooms.items()
            for moved in names.split()
        }
        module(name, package, places)


def module(
    name: str, package: str, new_names: Mapping[str, Any]
) -> types.ModuleType:
    """Keep one module importable that is gone.

    Args:
        name: str, of the old module, below `package`.
        package: str, "snas_keras".
        new_names: as for `attributes`.

    Returns:
        module, bound in the package under `name`.
    """
    path = f"{package}.{name}"
    old = types.ModuleType(path, f"Moved; see {sorted(new_names)}.")
    # Functions of a module that Python looks for (PEP 562).
    vars(old)["__getattr__"] = attributes(path, new_names)
    vars(old)["__dir__"] = lambda: sorted(new_names)
    sys.modules[path] = old
    setattr(sys.modules[package], name, old)
    return old


def attributes(path: str, new_names: Mapping[str, Any]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module with old names.

    Args:
        path: str, of the module, for messages.
        new_names: {old name: (str, module, str, name in it)}, or for what has
            no new name {old name: (function, str, what to write instead)}.

    Returns:
        function (str) -> object. It warns with DeprecationWarning, and raises
        AttributeError for what never was.
    """

    def find(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {path!r} has no attribute {name!r}")
        place, now = new_names[name]
        value = place
        if isinstance(place, str):
            # Imported on use: a room may need an extra.
            value = getattr(importlib.import_module(place), now)
            now = f"{place}.{now}"
        warnings.warn(
            f"{path}.{name} is now {now}; the old name goes with the next "
            "minor version.",
            DeprecationWarning,
            stacklevel=2,
        )
        return value

    return find
