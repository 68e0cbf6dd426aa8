"""One trace for all layers of equal computation and different variables.

The edges of a supernet repeat: the paper's eight cells have 112 edges of only
five kinds. Each kind, and its gradient, is traced once.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from snas_keras._utils import keras_private


class SharedTrace:
    """A layer's computation as a pure TensorFlow function of its variables.

        outputs, new state = function(variables, state, inputs, training)

    Layers of one `signature` can call it, each with its own variables.

    Args:
        layer: built Keras layer.
        compute: function (layer, *inputs, training=...) -> outputs, to be
            traced.
        inline: bool, whether TensorFlow may inline the function, default True:
            the graph takes longer to optimize, and runs faster where calls
            share computations.
        recompute: bool, whether the function is run again in the backward pass
            instead of storing its intermediate results, default False.
        nested: bool, whether it is a TensorFlow function of its own, default
            True. XLA needs False: it takes constants of a nested function's
            gradient for variables, and compiles again in every step.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        compute: Callable[..., Any],
        inline: bool = True,
        recompute: bool = False,
        nested: bool = True,
    ):
        self.layer = layer
        self.compute = compute
        self.nested = nested
        attributes = None if inline else {"_noinline": True}
        function = self._traced
        if nested:
            function = tf.function(
                function, autograph=False, experimental_attributes=attributes
            )
        self.functions = {
            training: _maybe_recomputed(
                functools.partial(function, training), recompute
            )
            for training in (False, True)
        }
        self.is_pure = True

    def __call__(
        self, layer: keras.layers.Layer, *inputs: Any, training: bool = False
    ) -> Any:
        if not self.is_pure:
            return self.compute(layer, *inputs, training=training)
        try:
            outputs, updates = self.functions[bool(training)](
                _values(layer.trainable_variables),
                _values(keras_private.changing_state(layer)),
                inputs,
            )
        except _NotPureError:
            self.is_pure = False
            return self(layer, *inputs, training=training)
        for variable, value in _unpacked(layer, updates):
            variable.assign(value)
        return outputs

    def _traced(self, training, values, state, inputs):
        layer = self.layer
        pairs = [
            *zip(layer.trainable_variables, values, strict=True),
            *zip(keras_private.changing_state(layer), state, strict=True),
        ]
        with keras.StatelessScope(pairs, collect_losses=True) as scope:
            outputs = self.compute(layer, *inputs, training=training)
        if scope.losses or (self.nested and _captures()):
            raise _NotPureError
        # Masks and changed weights are not outputs of the function.
        if any(keras_private.mask_of(y) is not None for y in _flat(outputs)):
            raise _NotPureError
        for variable, value in zip(
            layer.trainable_variables, values, strict=True
        ):
            if scope.get_current_value(variable) is not value:
                raise _NotPureError
        new = [
            scope.get_current_value(v)
            for v in keras_private.changing_state(layer)
        ]
        return outputs, _packed(state, new)


def _flat(outputs):
    return keras.tree.flatten(outputs)


def _captures():
    return tf.compat.v1.get_default_graph().external_captures


def _maybe_recomputed(function, recompute):
    return keras.remat(function) if recompute else function


class _NotPureError(Exception):
    """The layer adds losses, or uses tensors that are not its variables."""


def _values(variables):
    return [tf.convert_to_tensor(v.value) for v in variables]


# The function returns new values of the state as integers, one tensor for each
# dtype: TensorFlow would create a zero gradient for each float output.

_INTEGERS = {2: tf.int16, 4: tf.int32, 8: tf.int64}


def _packed(old, new):
    """Return {indices: flat integer tensor} of changed values."""
    changed = {}
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        if after is not before:
            changed.setdefault(before.dtype, []).append(index)
    return {
        tuple(indices): _bits(
            tf.concat([tf.reshape(new[i], [-1]) for i in indices], 0)
        )
        for indices in changed.values()
    }


def _bits(values):
    if values.dtype.is_integer:
        return values
    bits = tf.bitcast(values, _INTEGERS[values.dtype.size])
    return tf.stop_gradient(bits)


def _unpacked(layer, updates):
    """Yield (variable, new value)."""
    state = keras_private.changing_state(layer)
    for indices, bits in updates.items():
        variables = [state[i] for i in indices]
        values = tf.bitcast(bits, variables[0].dtype)
        parts = tf.split(values, [math.prod(v.shape) for v in variables])
        for variable, part in zip(variables, parts, strict=True):
            yield variable, tf.reshape(part, variable.shape)
