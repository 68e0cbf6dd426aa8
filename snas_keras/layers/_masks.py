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


class InputMasks:
    """The masks of what an edge is called on, the same for every candidate.

    Keras' attention layers take the masks off the tensors that they are called
    on. A candidate must not do so to the others, and after the edge the tensors
    have what the chosen candidate leaves, as in its child.

    Args:
        inputs: tensor or a structure of such.
    """

    def __init__(self, inputs: Any):
        self.tensors = keras.tree.flatten(inputs)
        self.given = self._now()
        self.left: dict[int, list[Any]] = {}

    def _now(self):
        return [keras_private.mask_of(x) for x in self.tensors]

    def _set(self, masks):
        for tensor, mask in zip(self.tensors, masks, strict=True):
            if keras_private.mask_of(tensor) is not mask:
                tensor._keras_mask = mask

    @contextlib.contextmanager
    def of_candidate(self, index: int) -> Iterator[None]:
        """Give the inputs their masks while a candidate is called.

        Args:
            index: int, its place among the candidates.
        """
        self._set(self.given)
        yield
        self.left[index] = self._now()

    def leave(self, weights: Any) -> None:
        """Give the inputs what the candidates that have a weight left.

        Args:
            weights: list of float scalar tensors, one a candidate.
        """
        indices = sorted(self.left)
        self._set(
            mixed_masks(
                [weights[k] for k in indices],
                [self.left[k] for k in indices],
            )
        )
