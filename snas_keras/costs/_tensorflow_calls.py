"""What a layer's `call` does, read off its TensorFlow graph.

For layers that use TensorFlow itself. Their sublayers are recorded and not run;
what else the graph holds is the layer's own work, of which the kernels count.
"""

import contextlib
import math
import re

import keras
import tensorflow as tf

from snas_keras._utils import graph as graph_lib
from snas_keras.costs import _operations

# Operations that are neither kernels that we count, nor elementwise.
_UNKNOWN = re.compile(
    "While|If$|Case$|Call|PyFunc|MapDefun|Cholesky|Svd|Qr$|Eig|FFT|Lu$"
    "|MatrixInverse|MatrixSolve|MatrixTriangularSolve|Matrix.*Det|MatrixExp"
    "|MatrixLog|MatrixSquareRoot|Tridiagonal|MatMul|Conv|RNN|LSTM|GRU|Block"
    "|Correl|Sparse.*Mul|Dilation2D|FractionalMaxPool|FractionalAvg"
)


class NotTraceableError(TypeError):
    """A layer's `call` cannot be traced, or does what cannot be counted."""


class TensorFlowKernel(keras.Operation):
    """One kernel in a graph.

    Args:
        multiply_adds: int.
        numbers: int, read and written.
    """

    def __init__(self, multiply_adds: int, numbers: int):
        super().__init__()
        self.multiply_adds = multiply_adds
        self.numbers = numbers


def inside(layer: keras.layers.Layer, args: tuple, kwargs: dict) -> list[tuple]:
    """List the calls of sublayers and the kernels that a call runs.

    Args:
        layer: Keras layer, built.
        args: tuple, with KerasTensors of known shapes.
        kwargs: dict.

    Returns:
        list of (layer or TensorFlowKernel, args, kwargs).

    Raises:
        NotTraceableError: the call fails, or a kernel cannot be counted.
    """
    calls: list[tuple] = []
    is_symbol = [isinstance(x, keras.KerasTensor) for x in _flat(args, kwargs)]
    specs = [
        tf.TensorSpec(x.shape, x.dtype)
        for x in _flat(args, kwargs)
        if isinstance(x, keras.KerasTensor)
    ]

    def run(*tensors):
        left = iter(tensors)
        values = [
            next(left) if symbol else x
            for symbol, x in zip(is_symbol, _flat(args, kwargs), strict=True)
        ]
        new = keras.tree.pack_sequence_as((args, kwargs), values)
        with keras.StatelessScope(collect_losses=True):
            # Not its `call`, for which Keras casts inputs and weights.
            return layer(*new[0], **new[1])

    try:
        with _recorded(graph_lib.children(layer), calls):
            traced = tf.function(run, autograph=False)
            operations = traced.get_concrete_function(*specs).graph
    except Exception as error:
        text = " ".join(str(error).split())
        raise NotTraceableError(text[:300]) from error
    kernels = [_kernel(x) for x in operations.get_operations()]
    return calls + [(x, (), {}) for x in kernels if x is not None]


def _flat(args, kwargs):
    return keras.tree.flatten((args, kwargs))


@contextlib.contextmanager
def _recorded(layers, calls):
    """Let layers note their calls and give zeros."""

    def recorder(layer):
        def call(*args, **kwargs):
            args, kwargs = keras.tree.map_structure(_symbol, (args, kwargs))
            calls.append((layer, args, kwargs))
            del vars(layer)["call"]  # Its own is asked for the shapes.
            try:
                spec = graph_lib.output_spec(layer, *args, **kwargs)
            finally:
                vars(layer)["call"] = call
            return keras.tree.map_structure(
                lambda x: tf.zeros(x.shape, x.dtype), spec
            )

        return call

    for layer in layers:
        vars(layer)["call"] = recorder(layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["call"]


def _symbol(x):
    if not isinstance(x, tf.Tensor):
        return x
    return keras.KerasTensor(tuple(x.shape), x.dtype.name)


def _kernel(operation):
    """Return a TensorFlowKernel, or None of what does no multiply-adds."""
    rule = _KERNELS.get(operation.type)
    if rule is None:
        if _UNKNOWN.search(operation.type):
            raise NotTraceableError(
                f"it runs the TensorFlow operation {operation.type}, whose "
                "work is not known"
            )
        return None
    shapes = [_shape(x) for x in operation.inputs]
    output = _shape(operation.outputs[0])
    numbers = sum(map(math.prod, shapes)) + math.prod(output)
    return TensorFlowKernel(rule(operation, shapes, output), numbers)


def _shape(tensor):
    if not tensor.shape.is_fully_defined():
        raise NotTraceableError(
            f"the shape of {tensor.name!r}, {tensor.shape}, is not known"
        )
    return tuple(tensor.shape)


def _matmul(operation, shapes, output):
    names = ("transpose_a",) if operation.type == "MatMul" else ("adj_x",)
    axis = -2 if operation.get_attr(names[0]) else -1
    return math.prod(output) * shapes[0][axis]


def _einsum(operation, shapes, output):
    equation = operation.get_attr("equation").decode()
    return _operations.products(equation, shapes)


def _convolution(operation, shapes, output):
    return math.prod(output) * math.prod(shapes[1][:-1])


def _depthwise(operation, shapes, output):
    return math.prod(output) * math.prod(shapes[1][:-2])


def _transposed(operation, shapes, output):
    return math.prod(shapes[2]) * math.prod(shapes[1][:-1])


def _pool(operation, shapes, output):
    return math.prod(output) * math.prod(operation.get_attr("ksize"))


_KERNELS = {
    "AvgPool": _pool,
    "AvgPool3D": _pool,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed,
    "Conv3D": _convolution,
    "Conv3DBackpropInputV2": _transposed,
    "DepthwiseConv2dNative": _depthwise,
    "Einsum": _einsum,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "MaxPool3D": _pool,
}
