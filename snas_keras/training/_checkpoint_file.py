"""The file of a checkpoint: content and validation."""

import json
import pathlib
import re
import typing
import zipfile
import zlib

import keras
import numpy as np
import tensorflow as tf

from snas_keras._utils import files


def write(path: pathlib.Path, arrays: dict, state: dict) -> None:
    """Write arrays and state as one file, which replaces the old one whole.

    Args:
        path: pathlib.Path.
        arrays: {name: array}.
        state: what JSON can hold.
    """
    with files.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(
                file,
                **{name: _plain(array) for name, array in arrays.items()},
                state=np.array(json.dumps(state)),
            )


def read(path: pathlib.Path) -> tuple[dict, dict]:
    """Read what `write` has written.

    Args:
        path: pathlib.Path.

    Returns:
        ({name: array}, state).

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with open(path, "rb") as opened:
            with np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop("state")))
    except (
        *(zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError),
    ) as error:
        raise ValueError(
            f"The checkpoint {path} is damaged ({error}). Nothing was loaded; "
            "remove the file to start afresh."
        ) from error


def identity(model: keras.Model) -> dict[str, typing.Any]:
    """Describe a model by its choices and the names of its variables.

    Args:
        model: keras.Model.

    Returns:
        {"choices": {name: candidates} or None, "variables": list of str},
        as JSON can hold it.
    """
    architecture = getattr(model, "architecture", None)
    choices = getattr(architecture, "choices", None)
    return {
        "choices": choices and {n: list(c) for n, c in choices.items()},
        "variables": _canonical([v.path for v in model.variables]),
    }


def compilation(model: keras.Model) -> str | None:
    """Describe the optimizer of a model, or return None where that fails.

    Args:
        model: keras.Model, compiled.

    Returns:
        str, the same for optimizers with the same settings.
    """
    try:
        config = keras.saving.serialize_keras_object(model.optimizer)
        return json.dumps(_nameless(config), sort_keys=True)
    except (NotImplementedError, TypeError, ValueError):
        return None


def check_model(path: pathlib.Path, found: dict, saved: dict) -> None:
    """Refuse a checkpoint of other choices or other variables.

    Args:
        path: pathlib.Path, for the message.
        found: `identity` of the model that is to be trained.
        saved: that of the file; empty for files of the first release.

    Raises:
        ValueError: they differ.
    """
    told = f"The checkpoint {path} is from another model: "
    if saved.get("choices", found["choices"]) != found["choices"]:
        raise ValueError(
            f"{told}its choices are {saved['choices']}, those of the model are "
            f"{found['choices']}. Nothing was loaded."
        )
    names = saved.get("variables", found["variables"])
    for old, new in zip(names, found["variables"], strict=False):
        if old != new:
            raise ValueError(
                f"{told}its variable {old!r} stands where the model has "
                f"{new!r}. Nothing was loaded."
            )


def check_variables(
    path: pathlib.Path, variables: dict, arrays: dict, dtypes: dict
) -> dict:
    """Return the arrays, or refuse those that do not fit the variables.

    Args:
        path: pathlib.Path, for the message.
        variables: {name: keras.Variable}.
        arrays: {name: array}, read from the file.
        dtypes: {name: str}, of those that NumPy has no name for.

    Returns:
        {name: array}, in the dtypes of the variables.

    Raises:
        ValueError: names, shapes or dtypes differ, or a value is not a number.
    """
    wanted = {k: (tuple(v.shape), v.dtype) for k, v in variables.items()}
    found = {
        k: (a.shape, dtypes.get(k, a.dtype.name)) for k, a in arrays.items()
    }
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            label = variables[name].path if name in variables else name
            raise ValueError(
                f"The checkpoint {path} is from another model: variable "
                f"{label!r} should be {wanted.get(name)}, the file has "
                f"{found.get(name)}. Nothing was loaded."
            )
    arrays = {
        k: a.view(tf.as_dtype(dtypes[k]).as_numpy_dtype) if k in dtypes else a
        for k, a in arrays.items()
    }
    bad = not_finite(variables, arrays)
    if bad:
        raise ValueError(
            f"The checkpoint {path} is of a search that has failed: {bad!r} is "
            "NaN or infinite. Nothing was loaded; remove the file to start "
            "afresh."
        )
    return arrays


def not_finite(variables: dict, arrays: dict) -> str | None:
    """Return the path of a variable that is not a number, metrics aside.

    Args:
        variables: {name: keras.Variable}.
        arrays: {name: array}, their values.

    Returns:
        str or None. Infinity counts where it can be trained.
    """
    for name, variable in variables.items():
        array = arrays[name]
        if name.startswith("metrics") or not _is_float(variable.dtype):
            continue
        array = array.astype("float64")
        is_bad = np.isnan(array)
        if getattr(variable, "trainable", False):
            is_bad = ~np.isfinite(array)
        if is_bad.any():
            return variable.path
    return None


def special_dtypes(variables: dict) -> dict[str, str]:
    """Return the dtypes that NumPy's files do not know, such as bfloat16.

    Args:
        variables: {name: keras.Variable}.

    Returns:
        {name: str}.
    """
    return {
        name: variable.dtype
        for name, variable in variables.items()
        if tf.as_dtype(variable.dtype).as_numpy_dtype(0).dtype.kind == "V"
    }


def _is_float(dtype):
    return tf.as_dtype(dtype).is_floating


def _plain(array):
    """Return an array as NumPy's files know it, bytes for bytes."""
    if array.dtype.kind != "V":
        return array
    return array.view(f"uint{8 * array.dtype.itemsize}")


def _canonical(paths):
    """Replace the numbers that Keras gives names by their order.

    Two models of one program in one process differ in these numbers; that one
    comes after the other does not change.
    """
    parts = [[_numbered(part) for part in p.split("/")] for p in paths]
    counts = {}
    for base, number in (part for path in parts for part in path):
        counts.setdefault(base, set()).add(number)
    places = {
        base: {n: i for i, n in enumerate(sorted(numbers))}
        for base, numbers in counts.items()
    }
    return [
        "/".join(f"{base}_{places[base][number]}" for base, number in path)
        for path in parts
    ]


def _numbered(part):
    base, _, number = part.rpartition("_")
    if base and re.fullmatch(r"\d+", number):
        return base, int(number)
    return part, 0


def _nameless(config):
    if isinstance(config, (list, tuple)):
        return [_nameless(value) for value in config]
    if not isinstance(config, dict):
        return config
    left_out = {"name", "module", "registered_name", "shared_object_id"}
    return {k: _nameless(v) for k, v in config.items() if k not in left_out}
