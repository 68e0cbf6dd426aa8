"""Traversal of Keras graphs and nested layers."""

from typing import Any

import keras


def calls(function: keras.Function, inputs: Any) -> list[tuple]:
    """List every call of a functional graph on new inputs.

    Only shapes are computed. Keras' public alternative, `clone_model` with a
    `call_function`, builds a model: it adds a node to every layer, compiles
    compiled models again, and supports functional models only.

    Args:
        function: Function or functional model.
        inputs: KerasTensors in the structure of the function's inputs.

    Returns:
        list of (operation, args, kwargs), in the order of the calls.
    """
    entries = []

    def recorded(operation):
        def compute_spec(*args, **kwargs):
            entries.append((operation, args, kwargs))
            return output_spec(operation, *args, **kwargs)

        return compute_spec

    function._run_through_graph(inputs, operation_fn=recorded)
    return entries


def operations(outputs: Any) -> list[keras.Operation]:
    """List the operations that compute Keras tensors, each once.

    `keras.Function.operations` has them too, but refuses duplicate names.

    Args:
        outputs: structure of KerasTensors.

    Returns:
        list of keras.Operation, including the input layers.
    """
    found, waiting, seen = {}, keras.tree.flatten(outputs), set()
    while waiting:
        operation, index, _ = waiting.pop()._keras_history
        if (id(operation), index) in seen:
            continue
        seen.add((id(operation), index))
        found[id(operation)] = operation
        waiting.extend(operation._inbound_nodes[index].input_tensors)
    return list(found.values())


def sources(operation: keras.Operation) -> list[list[keras.Operation]]:
    """List the operations that produce the inputs of an operation.

    `Operation.input` refuses an operation that is called more than once.

    Args:
        operation: keras.Operation of a functional model.

    Returns:
        list of list of keras.Operation, one entry for each call.
    """
    return [
        [tensor._keras_history[0] for tensor in node.input_tensors]
        for node in operation._inbound_nodes
    ]


def output_spec(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    """Return the output spec of an operation, with all sizes that are known.

    `EinsumDense.compute_output_shape` returns the unknown sizes of its
    `output_shape`; the base class infers them from the call.

    Args:
        operation: Keras layer or operation.
        *args: KerasTensors.
        **kwargs: passed to the call.

    Returns:
        KerasTensor or a structure of such.
    """
    try:
        spec = operation.compute_output_spec(*args, **kwargs)
    except Exception:
        # Keras casts weights to the precision of the inputs only in a call.
        spec = operation(*args, **kwargs)
    if _is_open(spec) and not _is_open((args, kwargs)):
        return keras.Operation.compute_output_spec(operation, *args, **kwargs)
    return spec


def _is_open(structure):
    return any(
        None in x.shape
        for x in keras.tree.flatten(structure)
        if isinstance(x, keras.KerasTensor)
    )


def children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """List the direct sublayers of a layer, including those in lists.

    Args:
        layer: Keras layer.

    Returns:
        list of Keras layer.
    """
    return list(layer._flatten_layers(include_self=False, recursive=False))


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """List a layer and all its nested sublayers, each once.

    `keras.Model.layers` has the direct sublayers of a model only.

    Args:
        layer: Keras layer.

    Returns:
        list of Keras layer.
    """
    return list(layer._flatten_layers())


def parameters(layer: keras.layers.Layer) -> list[keras.Variable]:
    """List the parameters of a layer: trainable weights and frozen ones.

    Keras' `trainable_variables` omits frozen weights, and
    `non_trainable_variables` mixes them with moving statistics.

    Args:
        layer: Keras layer, built.

    Returns:
        list of keras.Variable, each once.
    """
    weights = {
        id(variable): variable
        for part in sublayers(layer)
        for variable in part._trainable_variables
    }
    return list(weights.values())
