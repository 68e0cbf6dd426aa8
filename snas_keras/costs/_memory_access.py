"""Memory access."""

import math

import keras

from snas_keras.costs import (
    _calls,
    _cost,
    _kinds,
    _operations,
    _parameters,
    _shapes,
)

KL = keras.layers

memory_access = _cost.CallCost(
    "memory_access",
    """Count the numbers that a built layer reads and writes for one example.

    Inputs, outputs and parameters count once for each kernel that is run;
    activations and norms nothing, as in the paper's code. Padding, cropping and
    subsampling move nothing themselves: the layer that follows reads what was
    there before them.

    Args:
        layer: Keras layer, built.
        input_shape: tuple with the batch dimension, e.g. (None, 32, 32, 16).

    Returns:
        float, numbers read and written for one example.

    Raises:
        TypeError: the layer's type is not known and it cannot be traced; the
            message says how to teach it.
    """,
)


def _kernel(layer, input_shape):
    """Count inputs, outputs and parameters."""
    moved = _shapes.size(input_shape) + _shapes.output_size(layer, input_shape)
    return moved + _parameters.parameters(layer)


def _separable(layer, input_shape):
    pixels = _shapes.pixels(layer, input_shape, layer.filters)
    between = pixels * layer.pointwise_kernel.shape[-2]
    return _kernel(layer, input_shape) + 2 * between


def _pool(layer, input_shape):
    return 0.0 if _is_view(layer) else _kernel(layer, input_shape)


def _factorized(layer, input_shape):
    size = input_shape[-1] * layer.filters
    outputs = _shapes.output_size(layer, input_shape)
    return 2 * _shapes.size(input_shape) + outputs + size


def _sequential(model, input_shape):
    """Sum the layers; what reads a view is charged with what the view reads."""
    total, skipped = 0.0, 0
    for call in _calls.inside(_calls.call_on(model, input_shape)):
        access = memory_access.of_call(call)
        total += access + (skipped if access else 0)
        if _is_view(call.operation):
            shape = call.input_shape
            read = _shapes.size(shape)
            skipped += read - _shapes.output_size(call.operation, shape)
        elif access:
            skipped = 0
    return total


def _is_view(layer):
    return isinstance(layer, _kinds.VIEWS) or (
        isinstance(layer, _kinds.POOLS) and math.prod(layer.pool_size) == 1
    )


for _types, _rule in (
    (_kinds.FREE, _operations.zero),
    (_kinds.VIEWS, _operations.zero),
    (_kinds.MERGES, _operations.zero),
    (_kinds.CONVOLUTIONS, _kernel),
    (_kinds.TRANSPOSED, _kernel),
    (_kinds.DEPTHWISE, _kernel),
    (_kinds.SEPARABLE, _separable),
    (_kinds.DENSE, _kernel),
    (_kinds.POOLS, _pool),
    (_kinds.GLOBAL_POOLS, _kernel),
    (_kinds.ADAPTIVE_POOLS, _kernel),
    (_kinds.SYMMETRIC_POOLS, _kernel),
    (_kinds.FACTORIZED, _factorized),
    ((KL.Embedding, KL.EinsumDense, KL.RNN, KL.Bidirectional), _kernel),
    ((keras.Sequential,), _sequential),
):
    for _kind in _types:
        memory_access.register(_kind, _rule)
for _name in _operations.FREE:
    memory_access.register(_name, _operations.zero)
for _name in _operations.KERNELS:
    memory_access.register(_name, _operations.access)


@memory_access.register("TensorFlowKernel")
def _(operation, shapes):
    return operation.numbers


@memory_access.register(KL.Identity)
def _(layer, input_shape):
    return 2.0 * _shapes.size(input_shape)


@memory_access.register(KL.TimeDistributed)
def _(layer, input_shape):
    steps, shape = input_shape[1], (None, *input_shape[2:])
    _shapes.size(input_shape)
    return steps * memory_access(layer.layer, shape)
