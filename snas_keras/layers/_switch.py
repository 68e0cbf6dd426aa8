"""The candidates of an edge as branches of a switch: one is run."""

import functools
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import keras_private
from snas_keras.layers import _masks


class Switch:
    """The candidates of an edge as branches of a switch.

    A branch is a function of its own, so that all it does must leave it as a
    value: outputs, masks, added losses and the edge's new state.

    Args:
        edge: MixedEdge.
        inputs: what it is called with.
        training: bool.
    """

    def __init__(self, edge: Any, inputs: Any, training: bool):
        self.edge = edge
        self.inputs = inputs
        self.training = training
        self.has_masks = self.has_losses = False
        # What must leave every branch.
        self.state = [
            *keras_private.changing_state(edge),
            *edge.assigned.variables,
        ]

    def branches(self) -> list[Any]:
        """Return a function of no arguments for each candidate."""
        return [
            functools.partial(self._run, layer)
            for layer in self.edge.candidates.values()
        ]

    def _run(self, layer):
        edge = self.edge
        weights = edge.trainable_variables
        pairs = [(v, v.value) for v in [*weights, *self.state]]
        args, kwargs = edge.arguments(layer, self.inputs)
        scope = _Scope(pairs, collect_losses=True)
        with scope, _masks.kept(self.inputs):
            outputs = layer(*args, **kwargs, training=self.training)
        self._note_assigned(scope, pairs)
        flat = keras.tree.flatten(outputs)
        masks = [keras_private.mask_of(y) for y in flat]
        self.has_masks |= any(mask is not None for mask in masks)
        self.has_losses |= bool(scope.losses)
        loss = sum(
            (ops.cast(x, "float32") for x in scope.losses),
            ops.zeros((), "float32"),
        )
        state = [scope.get_current_value(v) for v in self.state]
        cast = functools.partial(ops.cast, dtype=edge.output_dtype)
        outputs = keras.tree.map_structure(cast, outputs)
        return outputs, self._filled(masks, flat), loss, state

    def _note_assigned(self, scope, pairs):
        """Remember weights that a layer changes while it is called.

        They must leave every branch; the switch is made again with them.
        """
        known = {id(v) for v in [*self.state, *self.edge.assigned.variables]}
        for variable, value in pairs:
            is_changed = scope.get_current_value(variable) is not value
            if is_changed and id(variable) not in known:
                self.edge.assigned.variables.append(variable)

    def _filled(self, masks, outputs):
        """Return masks for all branches alike: no mask is one of ones."""
        given = [
            keras_private.mask_of(x) for x in keras.tree.flatten(self.inputs)
        ]
        given = [mask for mask in given if mask is not None]
        return [
            mask
            if mask is not None
            else tf.ones(
                tf.shape(given[0]) if given else tf.shape(y)[:-1], "bool"
            )
            for mask, y in zip(masks, outputs, strict=True)
        ]


class _Scope(keras.StatelessScope):
    """A scope in which a weight's gradient is that by its newest value.

    An assignment, such as that of a spectral norm, has no gradient in Keras:
    what is read after it is the weight itself.
    """

    def add_update(self, update: Any) -> None:
        variable, value = update
        if variable.trainable:
            weight = self.get_current_value(variable)
            value = ops.stop_gradient(value) + (
                weight - ops.stop_gradient(weight)
            )
        super().add_update((variable, value))


class Assigned:
    """Weights that candidates change while called; not tracked as an edge's."""

    def __init__(self):
        self.variables = []
