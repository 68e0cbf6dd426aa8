"""Statistics of batch norms that belong to the child."""

import keras
import numpy as np


def recalibrate_batch_norm(model, data, steps=None):
    """Replace the moving statistics of all batch norms by those of `data`.

    A supernet's batch norms see mixtures of candidates; a child that inherits
    their statistics answers as if it still got them. This runs the child over
    data and keeps the mean of the batches' statistics.

    Args:
        model: keras.Model, changed in place. Other weights stay as they are.
        data: inputs as the model takes them, arrays of shape (examples, ...),
            taken as one batch; a tuple (x, y) as for `fit`, of which x alone
            counts; or an iterable of batches, each of them inputs or a tuple
            that starts with them.
        steps: int, batches to use, default all.

    Returns:
        The model.

    Raises:
        ValueError: `data` has no batch.

    Example:

    >>> norm = keras.layers.BatchNormalization()
    >>> model = keras.Sequential([keras.Input((1,)), norm])
    >>> _ = recalibrate_batch_norm(model, np.array([[1.0], [3.0]]))
    >>> norm.moving_mean.numpy().tolist()
    [2.0]
    """
    norms = _batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    kept = [_other_state(model, norms), 0]
    try:
        for step, inputs in enumerate(_input_batches(model, data)):
            if steps is not None and step >= steps:
                break
            # A moving mean of momentum n / (n + 1) is the plain mean.
            for norm in norms:
                norm.momentum = step / (step + 1)
            model(inputs, training=True)
            kept[1] += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for variable, value in kept[0]:
            variable.assign(value)
    if not kept[1]:
        raise ValueError(
            f"`data` must have at least one batch. Received: {data!r}"
        )
    return model


def _batch_norms(model):
    return [
        x
        for x in model._flatten_layers()
        if isinstance(x, keras.layers.BatchNormalization)
    ]


def _other_state(model, norms):
    """Pair what a forward pass in training may change with its value now.

    Spectral normalization, for one, changes the weights that are trained.
    """
    statistics = {
        id(v) for x in norms for v in (x.moving_mean, x.moving_variance)
    }
    return [
        (v, np.array(v)) for v in model.variables if id(v) not in statistics
    ]


def _input_batches(model, data):
    if isinstance(data, tuple) and data and _are_inputs(model, data[0]):
        data = data[0]
    if _are_inputs(model, data):
        yield data
        return
    for batch in data:
        is_more = isinstance(batch, (tuple, list))
        is_more = is_more and not _are_inputs(model, batch)
        yield batch[0] if is_more else batch


def _are_inputs(model, value):
    """Say whether a value is what the model is called on."""
    declared = getattr(model, "input", None)
    if isinstance(declared, dict):
        return isinstance(value, dict)
    if not isinstance(declared, (list, tuple)):
        return hasattr(value, "shape")
    is_alike = isinstance(value, (list, tuple)) and len(value) == len(declared)
    return is_alike and all(map(_fits, declared, value))


def _fits(declared, value):
    return len(getattr(value, "shape", ())) == len(declared.shape)
