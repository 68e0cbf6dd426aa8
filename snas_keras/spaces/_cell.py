"""The paper's cell, and shared parts of the built-in spaces."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from snas_keras import layers
from snas_keras.spaces import _operations

CELL_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def cell(
    choose: Callable[..., Any],
    name: str,
    before: Any,
    previous: Any,
    filters: int,
    strides: int = 1,
    halve_before: bool = False,
    nodes: int = 4,
    candidates: Any = CELL_OPERATIONS,
    affine: bool = True,
    drop_path: float = 0.0,
) -> Any:
    """Give the paper's cell: a small graph whose edges are choices.

    States 0 and 1 are the outputs of the two cells before. Every node is the
    sum of one edge from each earlier state; the output concatenates the nodes.
    The choice of an edge is named "<name>_<source>-><node>".

    Args:
        choose: the interpreter.
        name: str, of the cell type; cells of one name share their choices.
        before: Keras tensor, output of the cell before the previous one.
        previous: Keras tensor, output of the previous cell.
        filters: int, channels of every node.
        strides: int, 1, or 2 for a reduction: its edges from the inputs have
            stride 2.
        halve_before: bool, whether `before` is twice as large as `previous`,
            which it is behind a reduction, default False.
        nodes: int, default 4.
        candidates: sequence of operation names, or {candidate name:
            operation}, default the paper's eight.
        affine: bool, whether batch norms learn scale and offset, default True.
        drop_path: float, probability to drop an edge for an example, default
            0.0.

    Returns:
        Keras tensor, shape (batch, height, width, nodes * filters).
    """
    if halve_before:
        first = layers.FactorizedReduce(filters, affine)(before)
    else:
        first = _operations.get("nor_conv_1x1")(filters, 1, affine)(before)
    second = _operations.get("nor_conv_1x1")(filters, 1, affine)(previous)
    states = [first, second]
    for node in range(2, nodes + 2):
        terms = [
            edge(
                choose,
                f"{name}_{source}->{node}",
                state,
                filters,
                strides if source < 2 else 1,
                candidates,
                affine,
                drop_path,
            )
            for source, state in enumerate(states)
        ]
        states.append(keras.layers.Add()(terms))
    return keras.layers.Concatenate()(states[2:])


def edge(
    choose: Callable[..., Any],
    name: str,
    x: Any,
    filters: int,
    strides: int,
    candidates: Any,
    affine: bool,
    drop_path: float,
) -> Any:
    """Choose the layer of one edge, and call it.

    Args:
        choose: the interpreter.
        name: str, of the choice.
        x: tensor, shape (batch, height, width, channels).
        filters: int.
        strides: int.
        candidates: names of operations, or {candidate name: operation}.
        affine: bool, whether batch norms learn scale and offset.
        drop_path: float, probability to drop the edge for an example.

    Returns:
        Tensor.
    """
    if not hasattr(candidates, "items"):
        candidates = {operation: operation for operation in candidates}
    layer = choose(
        name,
        {
            candidate: maker(operation, filters, strides, affine)
            for candidate, operation in candidates.items()
        },
    )
    x = layer(x)
    return layers.DropPath(drop_path)(x) if drop_path else x


def maker(
    operation: Any, filters: int, strides: int = 1, affine: bool = True
) -> Callable[[], Any]:
    """Return a function that makes the layer: most are never used.

    Args:
        operation: str or function, as for `get`.
        filters: int.
        strides: int, default 1.
        affine: bool, default True.

    Returns:
        Function () -> layer.
    """
    return functools.partial(
        _operations.get(operation), filters, strides, affine
    )


def summed(terms: Any) -> Any:
    """Add tensors, or return the only one.

    Args:
        terms: list of tensors of one shape.
    """
    return keras.layers.Add()(terms) if len(terms) > 1 else terms[0]


def stem(inputs: Any, filters: int, strides: int) -> Any:
    """Build the convolution and batch norm before the cells.

    Args:
        inputs: tensor, shape (batch, height, width, channels).
        filters: int.
        strides: int.

    Returns:
        Tensor.
    """
    x = inputs
    if strides > 1:
        x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
    )(x)
    return _operations.batch_norm()(x)


def classifier(classes: int, name: str = "logits") -> Any:
    """Make the last layer.

    Args:
        classes: int.
        name: str, default "logits".

    Returns:
        Dense, float32 under every policy.
    """
    # Logits stay float32 under mixed precision.
    return keras.layers.Dense(classes, dtype="float32", name=name)
