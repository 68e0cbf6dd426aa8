"""The edge of a supernet: all candidates at once, weighted."""

import functools

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import fingerprint
from snas_keras._utils import names as names_lib
from snas_keras.layers import _shared_trace


@keras.saving.register_keras_serializable(package="snas_keras")
class MixedEdge(keras.layers.Layer):
    """The weighted sum of candidate layers.

        y = sum_k weights_k candidate_k(x)

    With one-hot weights it is the chosen candidate. Where the weights are
    always one-hot, `single_path` runs that candidate alone.

    Args:
        candidates: mapping of str to Keras layer, {candidate name: layer}. All
            must give outputs of the same shape.
        choice: str, the name of the choice this edge follows, or None for an
            edge on its own.
        single_path: bool, whether only the candidate with the largest weight
            is run, forward and backward, default False.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: what the candidates take, usually one tensor.
        weights: float tensor, shape (candidates,).
        training: bool, handed on to the candidates, default False.

    Returns:
        What the candidates return.

    Raises:
        ValueError: no candidates, bad names, or outputs of different shapes.
        TypeError: a candidate is not a Keras layer.

    Example:

    >>> edge = MixedEdge({"double": keras.layers.Rescaling(2.0),
    ...                   "skip": keras.layers.Identity()})
    >>> edge(np.ones((1, 1)), np.array([0.25, 0.75])).numpy().tolist()
    [[1.25]]
    """

    def __init__(self, candidates, choice=None, single_path=False, **kwargs):
        # The candidates cast their variables for themselves.
        super().__init__(autocast=False, **kwargs)
        self.choice = choice
        self.single_path = single_path
        self.candidates = check_candidates(choice or self.name, candidates)
        self.supports_masking = True
        self.trace = None

    def build(self, inputs_shape, weights_shape=None):
        del weights_shape
        for layer in self.candidates.values():
            if not layer.built:
                self._build(layer, inputs_shape)
        self.candidate_input_shape = inputs_shape
        self._check_output_shapes(inputs_shape)

    def _build(self, layer, inputs_shape):
        if type(layer).build is keras.layers.Layer.build:
            # Keras builds a layer without `build` by calling it.
            layer(_symbolic(inputs_shape, self.compute_dtype))
        else:
            layer.build(inputs_shape)

    def _check_output_shapes(self, inputs_shape):
        inputs = _symbolic(inputs_shape, self.compute_dtype)
        (first, expected), *others = [
            (name, _shapes(layer.compute_output_spec(inputs)))
            for name, layer in self.candidates.items()
        ]
        for name, shape in others:
            if shape != expected:
                raise ValueError(
                    f"All candidates of choice {self.choice!r} must give the "
                    f"same output shape. Received: {first!r} gives {expected}, "
                    f"{name!r} gives {shape}, from input shape {inputs_shape}"
                )

    def call(self, inputs, weights, training=False):
        if self.trace is None or not _can_share(inputs):
            return self.mix(inputs, weights, training)
        return self.trace(self, inputs, weights, training=training)

    def mix(self, inputs, weights, training=False):
        """Compute the weighted sum, here and now."""
        weights = ops.cast(weights, self.compute_dtype)
        if self.single_path:
            return self._call_largest(inputs, weights, training)
        # One node, where weights[k] would make ten with its gradient.
        pairs = zip(ops.unstack(weights), self.candidates.values(), strict=True)
        terms = [
            weighted(layer, weight, inputs, training) for weight, layer in pairs
        ]
        return keras.tree.map_structure(lambda *ys: tf.add_n(ys), *terms)

    def _call_largest(self, inputs, weights, training):
        branches = [
            functools.partial(self._call_alone, layer, inputs, training)
            for layer in self.candidates.values()
        ]
        outputs, state = ops.switch(ops.argmax(weights), branches)
        for variable, value in zip(
            self.non_trainable_variables, state, strict=True
        ):
            variable.assign(value)
        largest = ops.max(weights)
        return keras.tree.map_structure(lambda y: largest * y, outputs)

    def _call_alone(self, layer, inputs, training):
        """Return the outputs, and the edge's state after the call."""
        pairs = [(v, v.value) for v in self.variables]
        with keras.StatelessScope(pairs) as scope:
            outputs = layer(inputs, training=training)
        state = [
            scope.get_current_value(v) for v in self.non_trainable_variables
        ]
        return keras.tree.map_structure(
            lambda y: ops.cast(y, self.compute_dtype), outputs
        ), state

    def compute_output_spec(self, inputs, weights=None, training=False):
        # Without this every symbolic call would trace all candidates again.
        first = next(iter(self.candidates.values()))
        return keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, self.compute_dtype),
            first.compute_output_spec(inputs),
        )

    def get_config(self):
        config = super().get_config()
        config["choice"] = self.choice
        config["single_path"] = self.single_path
        config["candidates"] = {
            name: keras.saving.serialize_keras_object(layer)
            for name, layer in self.candidates.items()
        }
        return config

    @classmethod
    def from_config(cls, config):
        candidates = {
            name: _deserialize(name, layer)
            for name, layer in config["candidates"].items()
        }
        return cls(**{**config, "candidates": candidates})


def share_traces(mixed_edges, recompute=False, jit_compile=False):
    """Trace edges that compute the same only once.

    Two edges do where their candidates are equal but for the names, in their
    configs and in the code they run: functions they were given, and attributes
    that a config hides, must be the same. The variables stay each edge's own.

    XLA compiles nested functions with gradient anew in every step, so for it
    every edge is traced by itself.

    Args:
        mixed_edges: iterable of built MixedEdge.
        recompute: bool, whether edges are computed again in the backward pass
            in place of keeping all that they computed, default False.
        jit_compile: bool, whether XLA compiles the step, default False.
    """
    traces = {}
    for edge in mixed_edges:
        candidates = list(edge.candidates.values())
        signatures = [
            _signature(layer, edge.candidate_input_shape)
            for layer in candidates
        ]
        kind = (edge.single_path, edge.compute_dtype, *signatures)
        if None in signatures or jit_compile:
            kind = edge
        if kind not in traces:
            traces[kind] = _shared_trace.SharedTrace(
                edge,
                MixedEdge.mix,
                inline=not edge.single_path,
                recompute=recompute,
                nested=not jit_compile,
            )
        edge.trace = traces[kind] if recompute or not jit_compile else None


def _signature(layer, input_shape):
    """Return what layers have in common that may share a trace, or None."""
    try:
        return fingerprint.layer_key(layer, input_shape, same_code=True)
    except TypeError:
        return None


def check_candidates(choice, candidates):
    """Return {candidate name: layer}, or refuse what cannot be that.

    A candidate may be given as a function of no arguments that makes the layer.

    Args:
        choice: str, the name of the choice, for the message.
        candidates: mapping of str to Keras layer or function.

    Returns:
        dict of str to Keras layer.

    Raises:
        TypeError: `candidates` is no mapping, or a candidate no layer.
        ValueError: no candidates or bad names.
    """
    if not hasattr(candidates, "items"):
        raise TypeError(
            f"The candidates of choice {choice!r} must be a mapping {{name: "
            f"layer}}. Received: {candidates!r}"
        )
    names_lib.check_choice(choice, candidates)
    return {name: as_layer(choice, name, c) for name, c in candidates.items()}


def as_layer(choice, name, candidate):
    """Return the candidate's layer, making it where a function was given."""
    is_layer = isinstance(candidate, keras.layers.Layer)
    layer = candidate if is_layer or not callable(candidate) else candidate()
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            f"Candidate {name!r} of choice {choice!r} must be a Keras layer or "
            f"a function of no arguments that makes one. Received: {layer!r}"
        )
    return layer


def _can_share(inputs):
    """Whether this call is part of a graph that one device computes."""
    one_device = tf.distribute.get_strategy().num_replicas_in_sync == 1
    is_masked = any(
        getattr(x, "_keras_mask", None) is not None
        for x in keras.tree.flatten(inputs)
    )
    return one_device and not is_masked and not tf.executing_eagerly()


def _symbolic(shapes, dtype):
    if shapes and isinstance(shapes[0], (tuple, list)):
        return [_symbolic(shape, dtype) for shape in shapes]
    return keras.KerasTensor(shapes, dtype)


def _shapes(outputs):
    return keras.tree.map_structure(lambda x: tuple(x.shape), outputs)


def _deserialize(name, config):
    try:
        return keras.saving.deserialize_keras_object(config)
    except TypeError as error:
        raise TypeError(
            f"Cannot load candidate {name!r}. Is its class registered with "
            f"keras.saving.register_keras_serializable? {error}"
        ) from error


def mixed_edges(network):
    """List the `MixedEdge` layers of a functional model, in program order."""
    return [x for x in network.layers if isinstance(x, MixedEdge)]


def weighted(layer, weight, inputs, training=False):
    """Compute weight * layer(inputs), in training by the last batch norm.

    A layer that declares `takes_weight = True` is called with `weight=` and
    returns its weighted output. A batch norm does so by its scale and offset:
    the output is neither kept nor passed over once more for the weight's sake:

        weight (scale x + offset) = (weight scale) x + weight offset

    Args:
        layer: Keras layer; of a Sequential, its last layer is asked.
        weight: float scalar tensor of the dtype that is wanted.
        inputs: what the layer takes.
        training: bool, default False.

    Returns:
        What the layer returns.
    """
    *parts, last = layer.layers if type(layer) is keras.Sequential else [layer]
    if training and getattr(last, "takes_weight", False):
        for part in parts:
            inputs = part(inputs, training=training)
        y = last(inputs, training=training, weight=weight)
        return ops.cast(y, weight.dtype)
    # A candidate may carry a dtype policy of its own.
    return keras.tree.map_structure(
        lambda y: weight * ops.cast(y, weight.dtype),
        layer(inputs, training=training),
    )
