"""Deprecated import paths and names."""

import importlib
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def warn(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that a name is deprecated.

    Args:
        old: str, the deprecated name.
        new: str, what to write in its place.
        stacklevel: int, as for `warnings.warn`, default 3: the caller of the
            function that calls this one.
    """
    warnings.warn(
        f"{old} is now {new}; the old name goes with the next minor version.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def modules(old: Mapping[str, Mapping[str, str]], package: str) -> None:
    """Make modules of deprecated names, importable under their old paths.

    Args:
        old: {name of the old module, below `package`: {new room: str, its
            names, separated by spaces}}.
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
    """Make one module of deprecated names, importable under its old path.

    Args:
        name: str, name of the old module, below `package`.
        package: str, "snas_keras".
        new_names: as for `attributes`.

    Returns:
        module, bound in the package under `name`.
    """
    path = f"{package}.{name}"
    old = types.ModuleType(path, f"Moved; see {sorted(new_names)}.")
    # Python looks these two functions up in the module (PEP 562).
    vars(old)["__getattr__"] = attributes(path, new_names)
    vars(old)["__dir__"] = lambda: sorted(new_names)
    sys.modules[path] = old
    setattr(sys.modules[package], name, old)
    return old


def attributes(path: str, new_names: Mapping[str, Any]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module with deprecated names.

    Args:
        path: str, path of the module, for messages.
        new_names: {old name: (str, new module, str, new name)}, or where there
            is no new name {old name: (function, str, what to write instead)}.

    Returns:
        function (str) -> object. It warns with DeprecationWarning, and raises
        AttributeError for an unknown name.
    """

    def find(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {path!r} has no attribute {name!r}")
        place, new = new_names[name]
        value = place
        if isinstance(place, str):
            # Imported on use: a room may need an extra.
            value = getattr(importlib.import_module(place), new)
            new = f"{place}.{new}"
        warn(f"{path}.{name}", new)
        return value

    return find
