"""Old import paths and names: they warn, and lead to the new ones."""

import sys
import types
import warnings


def module(name, new_names, package="snas_keras"):
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
    old.__getattr__ = attributes(path, new_names)
    old.__dir__ = lambda: sorted(new_names)
    sys.modules[path] = old
    return old


def attributes(path, new_names):
    """Make the `__getattr__` of a module with old names.

    Args:
        path: str, of the module, for messages.
        new_names: {old name: (object, str, where it is now)}.

    Returns:
        function (str) -> object. It warns with DeprecationWarning, and raises
        AttributeError for what never was.
    """

    def find(name):
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
