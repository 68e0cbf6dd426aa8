"""Statistics of batch norms that belong to the child."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snas_keras.children import _moments


def recalibrate_batch_norm(
    model: keras.Model, data: Any, steps: int | None = None
) -> keras.Model:
    """Replace the moving statistics of all batch norms by those of `data`.

    A supernet's batch norms see mixtures of candidates; a child that inherits
    their statistics answers as if it still got them. This runs the child over
    data, in training mode, and stores the mean and variance of all that each
    batch norm got, over all its calls and all batches, of whatever length.
    Batch norms that are frozen keep theirs.

    Args:
        model: keras.Model, changed in place. Other weights stay as they are.
        data: inputs as the model takes them, arrays of shape (examples, ...),
            taken as one batch; a tuple (x, y) or (x, y, sample_weight) as for
            `fit`, of which x alone counts; or batches, a `PyDataset`, a
            `tf.data.Dataset` or another iterable, each of them inputs or a
            tuple that starts with them.
        steps: int, batches to use, default all.

    Returns:
        The model.

    Raises:
        ValueError: `data` has no batch, or is not what the model takes.

    Example:

    >>> norm = keras.layers.BatchNormalization()
    >>> model = keras.Sequential([keras.Input((1,)), norm])
    >>> _ = recalibrate_batch_norm(model, np.array([[1.0], [3.0]]))
    >>> norm.moving_mean.numpy().tolist()
    [2.0]
    """
    watched = _moments.Watched(_batch_norms(model))
    # A forward pass in training may change more than statistics: spectral
    # normalization, for one, the weights that are trained.
    before = [(v, np.array(v)) for v in model.variables]
    count = 0
    try:
        with watched, _functions_run_eagerly():
            for inputs in _input_batches(model, data, steps):
                model(inputs, training=True)
                count += 1
    finally:
        for variable, value in before:
            variable.assign(value)
    if not count:
        raise ValueError(
            f"`data` must have at least one batch. Received: {data!r}"
        )
    watched.assign()
    return model


@contextlib.contextmanager
def _functions_run_eagerly() -> Iterator[None]:
    """Let layers that are TensorFlow functions show what norms get in them."""
    were_eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(were_eager)


def _batch_norms(model):
    return [
        x
        for x in model._flatten_layers()
        if isinstance(x, keras.layers.BatchNormalization)
    ]


def _input_batches(model, data, steps) -> Iterator[Any]:
    if isinstance(data, tuple) and data and _are_inputs(model, data[0]):
        data = data[0]
    if _are_inputs(model, data):
        data = [data]
    for batch in itertools.islice(_batches(data), steps):
        is_more = isinstance(batch, (tuple, list))
        is_more = is_more and not _are_inputs(model, batch)
        inputs = batch[0] if is_more else batch
        if not _are_inputs(model, inputs):
            raise ValueError(
                "`data` must have inputs as the model takes them. It takes "
                f"{_described(getattr(model, 'input', None))}. Received: "
                f"{_described(inputs)}"
            )
        yield keras.tree.map_structure(_array, inputs)


def _batches(data):
    if isinstance(data, keras.utils.PyDataset):
        # To go on until an IndexError would go on for ever.
        return (data[index] for index in range(data.num_batches))
    return iter(data)


def _array(value):
    """Return a data frame as an array, all else as it is."""
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def _described(inputs):
    def shape(value):
        return getattr(value, "shape", type(value).__name__)

    return keras.tree.map_structure(shape, inputs)


def _are_inputs(model, value):
    """Say whether a value is what the model is called on."""
    declared = getattr(model, "input", None)
    if isinstance(declared, dict):
        return isinstance(value, dict)
    if not isinstance(declared, (list, tuple)):
        is_open = declared is None and isinstance(value, dict)
        return hasattr(value, "shape") or is_open
    is_alike = isinstance(value, (list, tuple)) and len(value) == len(declared)
    return is_alike and all(map(_fits, declared, value))


def _fits(declared, value):
    return len(getattr(value, "shape", ())) == len(declared.shape)
