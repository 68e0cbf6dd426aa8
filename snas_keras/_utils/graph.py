"""What Keras keeps private of its graphs and of the weights in layers."""

from typing import Any

import keras


def calls(function: keras.Function, inputs: Any) -> list[tuple]:
    """List every call of a functional graph on other inputs.

    Only the shapes are computed. Keras' public way, `clone_model` with a
    `call_function`, makes a model for it: it leaves a node in every layer,
    compiles again what was compiled, and knows functional models alone.

    Args:
        function: Function or functional model.
        inputs: KerasTensors in the structure of its inputs.

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
    """List the operations that Keras tensors were computed by, each once.

    A Function has them as an attribute, but refuses names that occur twice.

    Args:
        outputs: structure of KerasTensors.

    Returns:
        list of keras.Operation, those of the inputs among them.
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
    """List what every call of an operation takes its tensors from.

    `Operation.input` refuses an operation that is called more than once.

    Args:
        operation: keras.Operation of a functional model.

    Returns:
        list with one entry a call, each a list of keras.Operation.
    """
    return [
        [tensor._keras_history[0] for tensor in node.input_tensors]
        for node in operation._inbound_nodes
    ]


def output_spec(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    """Return what an operation gives, with all sizes that can be known.

    `EinsumDense.compute_output_shape` leaves open what its `output_shape` does;
    the base class runs the call to find out.

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
        # Only in a call does Keras cast weights to the precision of inputs.
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
    """List the layers that a layer holds itself, those in lists too.

    Args:
        layer: Keras layer.

    Returns:
        list of Keras layer.
    """
    return list(layer._flatten_layers(include_self=False, recursive=False))


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """List a layer and all layers in it, each once.

    Keras names those of a model only, and of it only the topmost.

    Args:
        layer: Keras layer.

    Returns:
        list of Keras layer.
    """
    return list(layer._flatten_layers())


def parameters(layer: keras.layers.Layer) -> list[keras.Variable]:
    """List the weights that are made to be trained, frozen ones too.

    Keras' `trainable_variables` leaves out what is frozen, and
    `non_trainable_variables` mixes it with moving statistics.

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
