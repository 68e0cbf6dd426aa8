"""A candidate's output times its weight."""

from typing import Any

import keras
from keras import ops

from snas_keras._utils import keras_private


def weighted(
    layer: keras.layers.Layer,
    weight: Any,
    args: Any,
    kwargs: Any,
    training: bool = False,
) -> tuple[Any, list[Any]]:
    """Compute weight * layer(...), in training by a final batch norm.

    A layer that declares `takes_weight = True` is called with `weight=` and
    returns its weighted output. A batch norm multiplies its scale and offset,
    which needs neither another pass over the output nor its memory:

        weight (scale x + offset) = (weight scale) x + weight offset

    Args:
        layer: Keras layer; of a Sequential, the last layer counts.
        weight: float scalar tensor of the dtype of the output.
        args: tuple, positional arguments of the layer.
        kwargs: dict, keyword arguments of the layer.
        training: bool, default False.

    Returns:
        (weighted outputs, list of their masks).
    """
    *parts, last = layer.layers if type(layer) is keras.Sequential else [layer]
    if training and getattr(last, "takes_weight", False):
        [inputs] = args
        for part in parts:
            inputs = part(inputs, training=training)
        y = last(inputs, training=training, weight=weight)
        return ops.cast(y, weight.dtype), [keras_private.mask_of(y)]
    outputs = layer(*args, **kwargs, training=training)
    masks = [keras_private.mask_of(y) for y in keras.tree.flatten(outputs)]
    # A candidate may have a dtype policy of its own.
    return keras.tree.map_structure(
        lambda y: weight * ops.cast(y, weight.dtype), outputs
    ), masks
