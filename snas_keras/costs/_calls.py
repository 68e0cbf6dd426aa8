"""Calls of layers and raw operations, with the calls inside them."""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from snas_keras import layers
from snas_keras._utils import code as code_lib
from snas_keras._utils import graph
from snas_keras.costs import _shapes, _tensorflow_calls

# Arguments that a cost does not depend on.
_ASIDE = {"training", "initial_state", "states", "constants"}


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer or a raw operation, on symbolic tensors.

    Args:
        operation: Keras layer or operation.
        args: tuple, with KerasTensors whose shapes are those of one example.
        kwargs: dict, default none.
    """

    operation: keras.Operation
    args: tuple
    kwargs: dict = dataclasses.field(default_factory=dict)

    @property
    def input_shape(self) -> Any:
        """Return the shapes that a cost is told.

        Of a layer it is the shape of what it is called on, in the structure of
        that; where it is called on several tensors, a tuple of the shapes of
        all, in the order of its signature. The first dimension is the batch,
        None. Of a raw operation it is the shape of the first tensor.
        """
        tensors = [x for x in self._arguments() if _tensors(x)]
        if not isinstance(self.operation, keras.layers.Layer):
            tensors = tensors[:1]
        shapes = [_of_batch(x) for x in tensors]
        return shapes[0] if len(shapes) == 1 else tuple(shapes)

    @property
    def tensors(self) -> list:
        """Return the symbolic tensors of the call, in order."""
        return _tensors((self.args, self.kwargs))

    def on(self, tensors: Any) -> tuple[tuple, dict]:
        """Return the arguments of the same call on other tensors.

        Args:
            tensors: sequence, one for each of `self.tensors`.

        Returns:
            (args, kwargs).
        """
        left = iter(tensors)
        return keras.tree.map_structure(
            lambda x: next(left) if isinstance(x, keras.KerasTensor) else x,
            (self.args, self.kwargs),
        )

    @property
    def operands(self) -> tuple:
        """Return the shapes of all that a raw operation computes with.

        They are those of a single example, the batch of one included, and ()
        of a number.
        """
        values = keras.tree.flatten((self.args, self.kwargs))
        return tuple(_plain_shape(x) for x in values if _is_operand(x))

    @property
    def times(self) -> int:
        """Return how many examples a layer sees in this call.

        It is more than one where a layer around it moves part of an example,
        such as windows of an image, into the batch.
        """
        tensors = self.tensors
        is_layer = isinstance(self.operation, keras.layers.Layer)
        if not is_layer or not tensors or not tensors[0].shape:
            return 1
        return tensors[0].shape[0] or 1

    def _arguments(self):
        """Yield the arguments that are computed with."""
        try:
            signature = inspect.signature(self.operation.call)
            bound = signature.bind(*self.args, **self.kwargs).arguments
        except (TypeError, ValueError):
            bound = {**dict(enumerate(self.args)), **self.kwargs}
        for name, value in bound.items():
            if not (name in _ASIDE or "mask" in str(name)):
                yield value


def call_on(operation: keras.Operation, input_shape: Any) -> Call:
    """Make the call that an input shape tells of.

    A layer whose signature asks for several tensors takes those of a tuple of
    shapes one by one; of a single shape it takes the same tensor several times,
    as attention does to attend to itself.

    Args:
        operation: Keras layer or operation.
        input_shape: as `Call.input_shape` gives it.

    Returns:
        Call, for one example.
    """
    dtype = getattr(operation, "input_dtype", "float32")
    inputs = _shapes.symbols(input_shape, dtype)
    required = _required(operation)
    if required < 2:
        return Call(operation, (inputs,))
    several = inputs if isinstance(inputs, list) else [inputs] * required
    return Call(operation, tuple(several))


def edge_call(
    edge: layers.MixedEdge, layer: keras.layers.Layer, inputs: Any
) -> Call:
    """Make the call of a candidate on what its mixed edge is called on.

    Args:
        edge: MixedEdge.
        layer: Keras layer, a candidate of it.
        inputs: KerasTensor or structure of such, as the edge takes them.

    Returns:
        Call.
    """
    args, kwargs = edge.arguments(layer, inputs)
    return Call(layer, tuple(args), kwargs)


def network_calls(network: keras.Model, size: int | None = None) -> list[Call]:
    """List the calls of a functional model for one example.

    Args:
        network: functional Keras model.
        size: int, in place of every size that its inputs leave open but the
            batch, default None: they stay open.

    Returns:
        list of Call.
    """
    inputs = keras.tree.map_structure(
        lambda x: keras.KerasTensor(_closed(x.shape, size), x.dtype),
        network.input,
    )
    return inside(Call(network, (inputs,)))


def model_calls(
    model: keras.Model, input_shapes: Any = None
) -> list[tuple[keras.Operation, Any]]:
    """List every call of a model's layers and raw operations.

    Args:
        model: Functional or Sequential Keras model, built.
        input_shapes: shape of its input or a structure of such, default None:
            the model's own.

    Returns:
        list of (layer or operation, input shape as costs are told it).
    """
    if input_shapes is None:
        calls = network_calls(model)
    else:
        calls = inside(call_on(model, input_shapes))
    return [(call.operation, call.input_shape) for call in calls]


def batch_size(network: keras.Model) -> int:
    """Return the batch that a model's inputs are fixed to, or one.

    Args:
        network: functional Keras model.
    """
    return keras.tree.flatten(network.input)[0].shape[0] or 1


def inside(call: Call) -> list[Call]:
    """List the calls that one call makes, on the way to its outputs.

    Args:
        call: Call, of a model or of any layer that can be traced.

    Returns:
        list of Call.

    Raises:
        NotTraceableError: the layer's `call` cannot be traced.
    """
    layer = call.operation
    if not overrides_call(layer, keras.Operation):
        if isinstance(layer, keras.Sequential):
            return list(_of_sequential(layer, *call.args))
        if isinstance(layer, keras.Function):
            first = [*call.args, *call.kwargs.values()][0]
            return _of_graph(layer, _tensors(first))
    return _traced(call)


def overrides_call(layer: keras.Operation, kind: type) -> bool:
    """Say whether a user's class computes otherwise than its parent of Keras.

    Args:
        layer: Keras layer or operation.
        kind: class it inherits from.

    Returns:
        bool, false where `kind` is a class of the user's own.
    """
    owner = next(c for c in type(layer).__mro__ if "call" in vars(c))
    return (
        owner is not kind
        and issubclass(owner, kind)
        and code_lib.is_trusted_class(kind)
        and not code_lib.is_trusted_class(owner)
    )


def _of_sequential(model, x) -> Iterator[Call]:
    for layer in model.layers:
        yield Call(layer, (x,))
        # Not compute_output_shape, which a user's layer need not have.
        x = graph.output_spec(layer, x)


def _of_graph(function, inputs):
    flat = keras.tree.flatten(inputs)
    return [Call(*parts) for parts in graph.calls(function, flat)]


def _traced(call):
    """Trace a call with Keras' symbolic tensors, or in a TensorFlow graph."""
    layer, kwargs = call.operation, dict(call.kwargs)
    if "training" in inspect.signature(layer.call).parameters:
        kwargs.setdefault("training", False)
    inputs, (args, kwargs) = _fresh((call.args, kwargs))
    try:
        # What the call assigns stays in the scope.
        with keras.StatelessScope():
            outputs = _tensors(layer.call(*args, **kwargs))
        if not outputs:
            return []
        return _of_graph(keras.Function(inputs, outputs), inputs)
    except Exception:
        # It uses TensorFlow, adds a loss, or needs numbers.
        parts = _tensorflow_calls.inside(layer, args, kwargs)
        return [Call(*part) for part in parts]


def _fresh(structure):
    """Return inputs, and the structure with its KerasTensors replaced."""
    inputs = []

    def replaced(x):
        if not isinstance(x, keras.KerasTensor):
            return x
        inputs.append(keras.Input(batch_shape=x.shape, dtype=x.dtype))
        return inputs[-1]

    return inputs, keras.tree.map_structure(replaced, structure)


def _required(operation):
    """Count the arguments that a call must have."""
    empty = inspect.Parameter.empty
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    parameters = inspect.signature(operation.call).parameters
    return sum(
        p.default is empty and p.kind in kinds for p in parameters.values()
    )


def _tensors(structure):
    return [
        x
        for x in keras.tree.flatten(structure)
        if isinstance(x, keras.KerasTensor)
    ]


def _is_operand(x):
    return isinstance(x, (int, float, np.ndarray)) or hasattr(x, "shape")


def _plain_shape(x):
    return tuple(getattr(x, "shape", ()))


def _of_batch(structure):
    """Return shapes with the batch dimension None."""
    if isinstance(structure, (list, tuple)):
        return tuple(_of_batch(x) for x in structure)
    if isinstance(structure, dict):
        return {key: _of_batch(x) for key, x in structure.items()}
    shape = _plain_shape(structure)
    return (None, *shape[1:]) if shape else ()


def _closed(shape, size):
    if not shape:
        return ()
    rest = [size if d is None else d for d in shape[1:]]
    return (1 if shape[0] is None else shape[0], *rest)
