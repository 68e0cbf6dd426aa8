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
    """Compute weight * layer(...), in training by the last batch norm.

    A layer that declares `takes_weight = True` is called with `weight=` and
    returns its weighted output. A batch norm does so by its scale and offset:
    the output is neither kept nor passed over once more for the weight's sake:

        weight (scale x + offset) = (weight scale) x + weight offset

    Args:
        layer: Keras layer; of a Sequential, its last layer is asked.
        weight: float scalar tensor of the dtype of the output.
        args: tuple, what the layer is called with.
        kwargs: dict, the same.
        training: bool, default False.

    Returns:
        (what the layer returns, list of its masks).
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
    # A candidate may carry a dtype policy of its own.
    return keras.tree.map_structure(
        lambda y: weight * ops.cast(y, weight.dtype), outputs
    ), masks
