"""Sizes of the inputs and outputs of layers, for one example."""

import math
from typing import Any

import keras

from snas_keras._utils import graph


def size(shape: Any) -> int:
    """Count the numbers of one example.

    Args:
        shape: tuple with the batch dimension, or a structure of such.

    Returns:
        int.

    Raises:
        ValueError: a size is not known.
    """
    if isinstance(shape, dict):
        return sum(size(part) for part in shape.values())
    if any(isinstance(part, (tuple, list)) for part in shape):
        return sum(size(part) for part in shape)
    if None in shape[1:]:
        raise ValueError(
            "A cost needs fixed shapes; give the search space's Input full "
            "sizes, or a size to reckon with in place of what is open: "
            "snas_keras.costs.AtSize(cost, 128). Received: "
            f"shape={tuple(shape)}"
        )
    return math.prod(shape[1:])


def output_size(layer: Any, input_shape: Any) -> int:
    """Count the numbers that a layer gives for one example.

    Args:
        layer: Keras layer.
        input_shape: tuple with the batch dimension, or a structure of such.

    Returns:
        int.

    Raises:
        ValueError: a size is not known.
    """
    shape = layer.compute_output_shape(input_shape)
    if _is_open(shape) and not _is_open(input_shape):
        spec = graph.output_spec(layer, symbols(input_shape))
        shape = keras.tree.map_structure(lambda x: x.shape, spec)
    return size(shape)


def symbols(shape: Any, dtype: str = "float32") -> Any:
    """Return symbolic tensors for one example.

    Args:
        shape: tuple with the batch dimension, or a structure of such.
        dtype: str, default float32.

    Returns:
        KerasTensor, or a structure of such with lists for tuples.
    """
    if isinstance(shape, dict):
        return {key: symbols(part, dtype) for key, part in shape.items()}
    if any(isinstance(part, (tuple, list)) for part in shape):
        return [symbols(part, dtype) for part in shape]
    return keras.KerasTensor((1, *shape[1:]) if shape else (), dtype)


def _is_open(shape):
    if any(isinstance(part, (tuple, list)) for part in shape):
        return any(_is_open(part) for part in shape)
    return None in shape[1:]


def pixels(layer: Any, input_shape: Any, filters: int) -> int:
    """Count the places of a layer's output, whatever the data format.

    Args:
        layer: Keras layer.
        input_shape: tuple with the batch dimension.
        filters: int, numbers at each place.

    Returns:
        int.
    """
    return output_size(layer, input_shape) // filters


def operation_output_size(operation: keras.Operation, shapes: Any) -> int:
    """Count the numbers that a raw operation gives.

    Args:
        operation: keras.Operation.
        shapes: tuple of tuple, of each operand.

    Returns:
        int.
    """
    operands = [keras.KerasTensor(shape) for shape in shapes]
    outputs = keras.tree.flatten(operation.compute_output_spec(*operands))
    return sum(math.prod(x.shape) for x in outputs)


def as_tuple(shapes: Any) -> tuple:
    """Return the shapes of all operands, also of a single one.

    Args:
        shapes: tuple of int, or a tuple of such.

    Returns:
        tuple of tuple.
    """
    is_several = any(isinstance(part, (tuple, list)) for part in shapes)
    return tuple(shapes) if is_several else (shapes,)
