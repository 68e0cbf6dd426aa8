"""The few private attributes of Keras that we need, each with the reason.

Masks travel as an attribute of tensors, and Keras exports no accessor for it.
Losses that a layer adds are read by `layer.losses`, which also has the weight
regularizers and cannot be emptied; a candidate's losses count by its weight, so
they must be told apart and taken away.
"""

from typing import Any

import keras


def mask_of(tensor: Any) -> Any:
    """Return the mask of a tensor, or None.

    Args:
        tensor: tensor.

    Returns:
        bool tensor, usually of shape (batch, time), or None.
    """
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Any, mask: Any) -> None:
    """Give a tensor a mask.

    Args:
        tensor: tensor.
        mask: bool tensor, or None to leave it as it is.
    """
    if mask is not None:
        tensor._keras_mask = mask


def added_losses(layer: keras.layers.Layer) -> list[Any]:
    """Return what a layer and its parts have added by `add_loss`.

    Args:
        layer: Keras layer.

    Returns:
        list of scalar tensors; weight regularizers are not among them.
    """
    return [loss for part in layer._flatten_layers() for loss in part._losses]


def take_losses(layer: keras.layers.Layer) -> list[Any]:
    """Return what `added_losses` does, and leave the layer without.

    Args:
        layer: Keras layer.

    Returns:
        list of scalar tensors.
    """
    losses = added_losses(layer)
    for part in layer._flatten_layers():
        part._losses.clear()
    return losses
