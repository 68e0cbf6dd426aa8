"""The mixed edge of a supernet: the weighted sum of its candidates."""

import functools
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import keras_private
from snas_keras.layers import _candidates, _masks, _switch, _weighted


@keras.saving.register_keras_serializable(package="snas_keras")
class MixedEdge(keras.layers.Layer):
    """The weighted sum of candidate layers.

        y = sum_k weights_k candidate_k(x)

    With one-hot weights it is the candidate of weight 1. Where the weights are
    always one-hot, `single_path` runs that candidate alone.

    Losses that a candidate adds are multiplied by its weight. A position of the
    output is masked if every candidate with a non-zero weight masks it.

    Args:
        candidates: mapping of str to Keras layer, {candidate name: layer}. All
            outputs must have the same shape; those of several candidates must
            be floating point numbers.
        choice: str, name of the edge's choice, default None: a single edge
            without an architecture.
        single_path: bool, whether only the candidate with the largest weight
            is run, forward and backward, default False.
        is_spread: bool, whether `inputs` is a dict of several arguments, as
            from `choose(...)(query, value)`, default False.
        **kwargs: passed to `keras.layers.Layer`.

    Call arguments:
        inputs: inputs of the candidates, usually one tensor.
        weights: float tensor, shape (candidates,).
        training: bool, passed to the candidates, default False.

    Returns:
        The weighted sum, in the structure of the candidates' outputs.

    Raises:
        ValueError: no candidates, invalid names, outputs of different shapes,
            or a candidate that cannot be called on the inputs.
        TypeError: a candidate is not a Keras layer.

    Example:

    >>> edge = MixedEdge({"double": keras.layers.Rescaling(2.0),
    ...                   "skip": keras.layers.Identity()})
    >>> edge(np.ones((1, 1)), np.array([0.25, 0.75])).numpy().tolist()
    [[1.25]]
    """

    def __init__(
        self,
        candidates: Any,
        choice: str | None = None,
        single_path: bool = False,
        is_spread: bool = False,
        **kwargs: Any,
    ):
        # The candidates cast their own variables.
        super().__init__(autocast=False, **kwargs)
        self.choice = choice
        self.single_path = single_path
        self.is_spread = is_spread
        self.candidates = _candidates.check_candidates(
            choice or self.name, candidates
        )
        self.supports_masking = True
        self.trace = None
        self.under_xla = False
        self.input_dtypes: Any = None
        self.assigned = _switch.Assigned()

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.built:
            self.input_dtypes = keras.tree.map_structure(_dtype, inputs)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, inputs_shape: Any, weights_shape: Any = None) -> None:
        del weights_shape
        self.candidate_input_shape = inputs_shape
        inputs = _symbolic(inputs_shape, self.input_dtypes, self.compute_dtype)
        specs = {
            name: self._built(name, layer, inputs)
            for name, layer in self.candidates.items()
        }
        self._check_output_shapes(specs)
        self.output_dtype = self._check_output_dtypes(specs)

    def _built(self, name, layer, inputs):
        """Build a candidate, and return the spec of its output."""
        args, kwargs = self.arguments(layer, inputs)
        try:
            if layer.built:
                return layer.compute_output_spec(*args, **kwargs)
            return layer(*args, **kwargs)
        except (TypeError, ValueError) as error:
            shapes = keras.tree.map_structure(lambda x: x.shape, inputs)
            raise type(error)(
                f"Candidate {name!r} of choice {self.choice!r} cannot be "
                f"called on inputs of shape {shapes}: {error}\nWrap it in a "
                "layer that calls it with the right arguments, or call the "
                "choice on all of its inputs: choose(...)(query, value)."
            ) from error

    def _check_output_shapes(self, specs):
        (first, expected), *others = [
            (name, _shapes(spec)) for name, spec in specs.items()
        ]
        for name, shape in others:
            if shape != expected:
                raise ValueError(
                    f"All candidates of choice {self.choice!r} must have the "
                    f"same output shape. Received: {first!r} with {expected}, "
                    f"{name!r} with {shape}, for input shape "
                    f"{self.candidate_input_shape}"
                )

    def _check_output_dtypes(self, specs):
        """Return the dtype of the weighted sum, None for one candidate."""
        dtypes = {
            name: [_dtype(leaf) for leaf in keras.tree.flatten(spec)]
            for name, spec in specs.items()
        }
        for name, found in dtypes.items():
            if not all(keras.backend.is_float_dtype(d) for d in found):
                if len(specs) == 1:
                    return None
                raise ValueError(
                    f"The outputs of all candidates of choice {self.choice!r} "
                    "are added, so they must be floating point numbers. "
                    f"Received: outputs of dtype {found} from candidate "
                    f"{name!r}. Put the layer that converts them, such as an "
                    "Embedding, into each candidate."
                )
        flat = {d for found in dtypes.values() for d in found}
        return functools.reduce(_wider, sorted(flat))

    def arguments(self, layer: keras.layers.Layer, inputs: Any) -> Any:
        """Return the arguments of a candidate.

        Args:
            layer: Keras layer, a candidate or its replacement.
            inputs: inputs of the edge.

        Returns:
            (tuple, dict).
        """
        return _candidates.arguments(layer, inputs, self.is_spread)

    def call(self, inputs: Any, weights: Any, training: bool = False) -> Any:
        if self.trace is None or not _can_share(inputs):
            return self.mix(inputs, weights, training)
        return self.trace(self, inputs, weights, training=training)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        # `call` sets the mask of its outputs.
        return None

    def mix(self, inputs: Any, weights: Any, training: bool = False) -> Any:
        """Compute the weighted sum, without a shared trace.

        Args:
            inputs: inputs of the candidates, as in a call.
            weights: float tensor, shape (candidates,).
            training: bool, default False.

        Returns:
            The weighted sum, in the structure of the candidates' outputs.
        """
        if self.output_dtype is None:
            [layer] = self.candidates.values()
            args, kwargs = self.arguments(layer, inputs)
            return layer(*args, **kwargs, training=training)
        if self.single_path:
            return self._run_largest(inputs, weights, training)
        # One graph node, where weights[k] and its gradient would add ten.
        weights = ops.unstack(ops.cast(weights, self.output_dtype))
        terms, masks = [], []
        for weight, layer in zip(
            weights, self.candidates.values(), strict=True
        ):
            args, kwargs = self.arguments(layer, inputs)
            with _masks.kept(inputs):
                y, mask = _weighted.weighted(
                    layer, weight, args, kwargs, training
                )
            terms.append(y)
            masks.append(mask)
            self._add_losses(weight, keras_private.take_losses(layer))
        outputs = keras.tree.map_structure(lambda *ys: tf.add_n(ys), *terms)
        _masks.set_masks(outputs, _masks.mixed_masks(weights, masks))
        return outputs

    def _add_losses(self, weight, losses):
        for loss in losses:
            self.add_loss(ops.cast(weight, loss.dtype) * loss)

    def _run_largest(self, inputs, weights, training):
        index, largest = ops.argmax(weights), ops.max(weights)
        while True:
            known = len(self.assigned.variables)
            switch = _switch.Switch(self, inputs, training)
            outputs, masks, loss, state = switch.run(index)
            if len(self.assigned.variables) == known:
                break
        for variable, value in zip(switch.state, state, strict=True):
            variable.assign(value)
        if switch.has_losses:
            self.add_loss(ops.cast(largest, loss.dtype) * loss)
        largest = ops.cast(largest, self.output_dtype)
        outputs = keras.tree.map_structure(lambda y: largest * y, outputs)
        if switch.has_masks:
            _masks.set_masks(outputs, keras.tree.flatten(masks))
        return outputs

    def compute_output_spec(
        self, inputs: Any, weights: Any = None, training: bool = False
    ) -> Any:
        # Without this every symbolic call would trace all candidates again.
        first = next(iter(self.candidates.values()))
        args, kwargs = self.arguments(first, inputs)
        return keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, self.output_dtype or x.dtype),
            first.compute_output_spec(*args, **kwargs),
        )

    def get_build_config(self) -> dict[str, Any]:
        config = super().get_build_config() or {}
        return {**config, "input_dtypes": self.input_dtypes}

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.input_dtypes = config.get("input_dtypes")
        shapes = {k: v for k, v in config.items() if k != "input_dtypes"}
        super().build_from_config(shapes)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["choice"] = self.choice
        config["single_path"] = self.single_path
        config["is_spread"] = self.is_spread
        config["candidates"] = {
            name: keras.saving.serialize_keras_object(layer)
            for name, layer in self.candidates.items()
        }
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MixedEdge":
        candidates = {
            name: _deserialize(name, layer)
            for name, layer in config["candidates"].items()
        }
        return cls(**{**config, "candidates": candidates})


def mixed_edges(network: keras.Model) -> list[MixedEdge]:
    """List the `MixedEdge` layers of a functional model, in order of creation.

    Args:
        network: functional Keras model.

    Returns:
        list of MixedEdge.
    """
    return [x for x in network.layers if isinstance(x, MixedEdge)]


def _can_share(inputs):
    """Return whether this call is part of a graph on a single device."""
    one_device = tf.distribute.get_strategy().num_replicas_in_sync == 1
    is_masked = any(
        keras_private.mask_of(x) is not None for x in keras.tree.flatten(inputs)
    )
    return one_device and not is_masked and not tf.executing_eagerly()


def _dtype(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def _wider(one, other):
    return keras.backend.result_type(one, other)


def _symbolic(shapes, dtypes, default):
    """Return KerasTensors of nested shapes, of the default dtype if None."""
    if isinstance(shapes, dict):
        return {
            k: _symbolic(shape, dtypes and dtypes[k], default)
            for k, shape in shapes.items()
        }
    if any(isinstance(part, (tuple, list, dict)) for part in shapes):
        dtypes = dtypes or [None] * len(shapes)
        return [
            _symbolic(shape, dtype, default)
            for shape, dtype in zip(shapes, dtypes, strict=True)
        ]
    return keras.KerasTensor(shapes, dtypes or default)


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
