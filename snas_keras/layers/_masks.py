"""Masks of an edge: of what it mixes, and of what it was given."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import keras_private


def mixed_masks(weights: Any, masks: Any) -> list[Any]:
    """Return one mask a tensor: masked is what all with a weight mask.

    Args:
        weights: list of float scalar tensors, one a candidate.
        masks: list of list of bool tensor or None, one a candidate and tensor.

    Returns:
        list of bool tensor or None.
    """
    mixed = []
    for found in zip(*masks, strict=True):
        known = [mask for mask in found if mask is not None]
        if not known:
            mixed.append(None)
        elif all(mask is found[0] for mask in found):
            mixed.append(found[0])
        else:
            ones = ops.ones_like(known[0], dtype="bool")
            kept = [
                (weight > 0) & (ones if mask is None else mask)
                for weight, mask in zip(weights, found, strict=True)
            ]
            mixed.append(functools.reduce(tf.logical_or, kept))
    return mixed


def set_masks(outputs: Any, masks: Any) -> None:
    """Give tensors their masks.

    Args:
        outputs: tensor or a structure of such.
        masks: list of bool tensor or None, one a tensor.
    """
    for y, mask in zip(keras.tree.flatten(outputs), masks, strict=True):
        keras_private.set_mask(y, mask)


@contextlib.contextmanager
def kept(inputs: Any) -> Iterator[None]:
    """Give tensors back the masks that a call takes off them.

    Keras' attention layers do so. A candidate must not do it to the others, nor
    to what comes behind the edge.

    Args:
        inputs: tensor or a structure of such.
    """
    before = [(x, keras_private.mask_of(x)) for x in keras.tree.flatten(inputs)]
    yield
    for tensor, mask in before:
        keras_private.set_mask(tensor, mask)
