"""Multiply-adds."""

import math

import keras

from snas_keras.costs import _calls, _cost, _kinds, _operations, _shapes

KL = keras.layers

flops = _cost.CallCost(
    "flops",
    """Count the multiply-adds of a built layer for one example.

    A convolution counts kernel size x input channels x outputs, a product of
    matrices rows x columns x what is summed, a pooling window size x outputs;
    activations, norms, additions, bias and raw operations that are elementwise
    nothing, as in the paper's code. A multiply-add is one operation, not two,
    and a layer that is called twice counts twice.

    Args:
        layer: Keras layer, built.
        input_shape: tuple with the batch dimension, e.g. (None, 32, 32, 16).

    Returns:
        float, multiply-adds for one example.

    Raises:
        TypeError: the layer's type is not known and it cannot be traced; the
            message says how to teach it.
    """,
)


def _convolution(layer, input_shape):
    outputs = _shapes.output_size(layer, input_shape)
    return math.prod(layer.kernel.shape[:-1]) * outputs


def _transposed(layer, input_shape):
    return math.prod(layer.kernel.shape[:-1]) * _shapes.size(input_shape)


def _depthwise(layer, input_shape):
    outputs = _shapes.output_size(layer, input_shape)
    return math.prod(layer.kernel_size) * outputs


def _separable(layer, input_shape):
    pixels = _shapes.pixels(layer, input_shape, layer.filters)
    depthwise = math.prod(layer.depthwise_kernel.shape)
    pointwise = math.prod(layer.pointwise_kernel.shape)
    return pixels * (depthwise + pointwise)


def _dense(layer, input_shape):
    rows = _shapes.size(input_shape) // input_shape[-1]
    return rows * math.prod(layer.kernel.shape)


def _pool(layer, input_shape):
    window = math.prod(layer.pool_size)
    outputs = _shapes.output_size(layer, input_shape)
    return 0 if window == 1 else window * outputs


def _symmetric_pool(layer, input_shape):
    return layer.size**2 * _shapes.output_size(layer, input_shape)


def _global_pool(layer, input_shape):
    return _shapes.size(input_shape)


def _adaptive_pool(layer, input_shape):
    total = _shapes.size(input_shape)
    is_last = layer.data_format == "channels_last"
    lengths = input_shape[1:-1] if is_last else input_shape[2:]
    channels = total // math.prod(lengths)
    return channels * _operations.windows(lengths, layer.output_size)


def _factorized(layer, input_shape):
    return input_shape[-1] * _shapes.output_size(layer, input_shape)


def _cell(cell, input_shape):
    kernels = (cell.kernel, cell.recurrent_kernel)
    return sum(math.prod(kernel.shape) for kernel in kernels)


def _stacked_cells(stack, input_shape):
    total = 0.0
    for cell in stack.cells:
        total += flops.of_call(_cell_call(cell, input_shape))
        input_shape = (None, cell.output_size)
    return total


def _recurrent(layer, input_shape):
    first = _first(input_shape)
    _shapes.size(first)  # It must be known.
    return first[1] * flops.of_call(_cell_call(layer.cell, (None, *first[2:])))


def _cell_call(cell, input_shape):
    one = keras.KerasTensor((1, *input_shape[1:]))
    states = keras.tree.map_structure(
        lambda width: keras.KerasTensor((1, width)), cell.state_size
    )
    is_single = isinstance(states, keras.KerasTensor)
    return _calls.Call(cell, (one, [states] if is_single else states))


def _convolutional_rnn(layer, input_shape):
    first = _first(input_shape)
    _shapes.size(first)
    steps, cell = first[1], layer.cell
    numbers = _shapes.size(_first(layer.compute_output_shape(first)))
    outputs = numbers if layer.return_sequences else numbers * steps
    kernels = (cell.kernel, cell.recurrent_kernel)
    per_pixel = sum(math.prod(kernel.shape) for kernel in kernels)
    return outputs // cell.filters * per_pixel


def _first(shape):
    """Return the first of several shapes, without those of states."""
    is_several = any(isinstance(part, (tuple, list)) for part in shape)
    return shape[0] if is_several else shape


for _types, _rule in (
    (_kinds.FREE, _operations.zero),
    (_kinds.VIEWS, _operations.zero),
    (_kinds.MERGES, _operations.zero),
    (_kinds.CONVOLUTIONS, _convolution),
    (_kinds.TRANSPOSED, _transposed),
    (_kinds.DEPTHWISE, _depthwise),
    (_kinds.SEPARABLE, _separable),
    (_kinds.DENSE, _dense),
    (_kinds.POOLS, _pool),
    (_kinds.GLOBAL_POOLS, _global_pool),
    (_kinds.ADAPTIVE_POOLS, _adaptive_pool),
    (_kinds.SYMMETRIC_POOLS, _symmetric_pool),
    (_kinds.FACTORIZED, _factorized),
    (_kinds.CELLS, _cell),
    ((KL.StackedRNNCells,), _stacked_cells),
    ((KL.RNN,), _recurrent),
    (_kinds.CONVOLUTIONAL_RNNS, _convolutional_rnn),
):
    for _kind in _types:
        flops.register(_kind, _rule)
for _name in _operations.FREE:
    flops.register(_name, _operations.zero)
for _name, _rule in _operations.KERNELS.items():
    flops.register(_name, _rule)


@flops.register("TensorFlowKernel")
def _(operation, shapes):
    return operation.multiply_adds


@flops.register(KL.Bidirectional)
def _(layer, input_shape):
    directions = (layer.forward_layer, layer.backward_layer)
    return sum(flops(one, _first(input_shape)) for one in directions)


@flops.register(KL.TimeDistributed)
def _(layer, input_shape):
    _shapes.size(input_shape)
    return input_shape[1] * flops(layer.layer, (None, *input_shape[2:]))
