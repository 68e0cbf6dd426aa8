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

    def run(self, index: Any) -> tuple[Any, list[Any], Any, list[Any]]:
        """Run one candidate.

        Under XLA it is run once more for the gradient: what a branch keeps for
        that would leave the switch, where the other branches give tensors of
        unknown shapes for it, which corrupt memory.

        Args:
            index: int scalar tensor, the place of the candidate.

        Returns:
            (outputs, masks, loss, new values of `state`).
        """
        weights = [v.value for v in self.edge.trainable_variables]
        tensors = [*keras.tree.flatten(self.inputs), *weights]
        if not self.edge.under_xla:
            return ops.switch(index, self._branches(self._run, tensors))
        masks = [keras_private.mask_of(x) for x in tensors]
        tensors = [tf.convert_to_tensor(x) for x in tensors]
        structure = []

        def flat(tensors, layer):
            for tensor, mask in zip(tensors, masks, strict=True):
                keras_private.set_mask(tensor, mask)
            structure[:] = [self._run(tensors, layer)]
            return keras.tree.flatten(structure[0])

        @tf.custom_gradient
        def switched(*tensors):
            def gradient(*upstream):
                def of_branch(tensors, layer):
                    return _gradient(flat, tensors, layer, upstream)

                found = tf.switch_case(
                    index, self._branches(of_branch, tensors)
                )
                return _only_floats(tensors, found)

            return tf.switch_case(
                index, self._branches(flat, tensors)
            ), gradient

        found = switched(*tensors)
        return keras.tree.pack_sequence_as(structure[0], list(found))

    def _branches(self, function, tensors):
        return [
            functools.partial(function, tensors, layer)
            for layer in self.edge.candidates.values()
        ]

    def _run(self, tensors, layer):
        edge = self.edge
        variables = edge.trainable_variables
        number = len(tensors) - len(variables)
        inputs = keras.tree.pack_sequence_as(self.inputs, tensors[:number])
        weights = zip(variables, tensors[number:], strict=True)
        pairs = [*((v, v.value) for v in self.state), *weights]
        args, kwargs = edge.arguments(layer, inputs)
        scope = _Scope(pairs, collect_losses=True)
        with scope, _masks.kept(inputs):
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


def _gradient(function, tensors, layer, upstream):
    """Return the gradients by the floating point ones of the tensors."""
    floats = [x for x in tensors if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        outputs = function(tensors, layer)
    pairs = [
        (y, dy)
        for y, dy in zip(outputs, upstream, strict=True)
        if y.dtype.is_floating
    ]
    return tape.gradient(
        [y for y, _ in pairs],
        floats,
        [dy for _, dy in pairs],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )


def _only_floats(tensors, gradients):
    found = iter(gradients)
    return [next(found) if x.dtype.is_floating else None for x in tensors]


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
