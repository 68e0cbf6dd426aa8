"""Structures of in-memory data, as `fit` takes them, read by rows."""

import numbers
import typing
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf


def as_structure(data: typing.Any, name: str) -> typing.Any:
    """Return a structure of arrays whose rows can be taken by position.

    Mappings and sequences of arrays are structures, as for `fit`. A list that
    holds nothing but numbers, strings and lists of them is one array. Frames
    and series are read by position, whatever their index says.

    Args:
        data: arrays, tensors (ragged ones, too), frames, series or SciPy
            matrices, shape (examples, ...); or a structure of them.
        name: str, what messages call it.

    Returns:
        The structure, with tuples for lists.

    Raises:
        TypeError: a part of it is no array.
    """
    if isinstance(data, Mapping):
        return {k: as_structure(v, f"{name}[{k!r}]") for k, v in data.items()}
    if isinstance(data, (list, tuple)) and not _is_plain(data):
        parts = [as_structure(v, f"{name}[{i}]") for i, v in enumerate(data)]
        is_named = hasattr(data, "_fields")
        return type(data)(*parts) if is_named else tuple(parts)
    return _as_array(data, name)


def arrays_of(structure: typing.Any) -> list:
    """Return the arrays of a structure, those that are None left out.

    Args:
        structure: as `as_structure` returns it.
    """
    if structure is None:
        return []
    if isinstance(structure, Mapping):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple)):
        return [array for part in structure for array in arrays_of(part)]
    return [structure]


def take_rows(structure: typing.Any, rows: np.ndarray) -> typing.Any:
    """Return the given rows of every array of a structure.

    Args:
        structure: as `as_structure` returns it.
        rows: int array, shape (batch_size,).

    Returns:
        The structure, of arrays of shape (batch_size, ...).
    """
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        return {k: take_rows(v, rows) for k, v in structure.items()}
    if isinstance(structure, tuple):
        parts = [take_rows(v, rows) for v in structure]
        is_named = hasattr(structure, "_fields")
        return type(structure)(*parts) if is_named else tuple(parts)
    if isinstance(structure, tf.RaggedTensor):
        return tf.gather(structure, rows)
    # Keras knows strings as tensors alone.
    is_text = structure.dtype == object
    return tf.constant(structure[rows]) if is_text else structure[rows]


def common_length(structures: Iterable) -> int:
    """Return the number of examples, or refuse what has several.

    Args:
        structures: of arrays, shape (examples, ...).

    Returns:
        int.

    Raises:
        ValueError: there is no array, or two differ in length.
    """
    lengths = {int(a.shape[0]) for s in structures for a in arrays_of(s)}
    if len(lengths) != 1:
        raise ValueError(
            "All arrays must have the same number of examples (a list of "
            "arrays is several inputs; `np.stack` makes one of it). Received: "
            f"{sorted(lengths)}"
        )
    return lengths.pop()


def _is_plain(value):
    """Say whether it holds numbers, strings and lists of such alone."""
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(map(_is_plain, value))
    return np.isscalar(value)


def _as_array(value, name):
    if isinstance(value, tf.RaggedTensor):
        array = value
    elif hasattr(value, "tocsr"):
        array = value.tocsr()
    elif hasattr(value, "to_numpy"):
        array = value.to_numpy()
    elif keras.ops.is_tensor(value) and not isinstance(value, tf.SparseTensor):
        array = keras.ops.convert_to_numpy(value)
    elif hasattr(value, "__array__") or isinstance(value, (list, tuple)):
        array = np.asarray(value)
    else:
        raise TypeError(
            f"`{name}` must be an array, a tensor, a frame, or a structure of "
            "them (outputs without targets are left out). Received: "
            f"{name} of type {type(value).__name__}"
        )
    if len(array.shape) < 1:
        raise TypeError(
            f"`{name}` must have a first axis, of examples. Received: "
            f"{name} of shape ()"
        )
    if getattr(array.dtype, "kind", None) in ("O", "S", "U"):
        return _of_objects(array.astype(object), name)
    return array


def _of_objects(array, name):
    """Return an array of Python objects: strings as they are, or floats."""
    kinds = {type(value) for value in array.ravel().tolist()}
    if kinds <= {str, bytes}:
        return array
    if all(issubclass(k, (numbers.Number, np.generic)) for k in kinds):
        return array.astype("float64")
    raise TypeError(
        f"`{name}` must hold numbers or strings; fill in what is missing. "
        f"Received: {name} with objects of types "
        f"{sorted(kind.__name__ for kind in kinds)}"
    )
