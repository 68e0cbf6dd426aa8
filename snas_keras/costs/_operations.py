"""Multiply-adds and traffic of raw operations: `keras.ops`, `x + y`, `x[0]`.

Keras does not export the classes behind them, so they are known by name. To
teach one more, write a rule (operation, shapes of the operands for one example)
and a line in `KERNELS`; what is elementwise, gathers, reduces or reshapes is a
name in `FREE`.
"""

import math

import numpy as np

from snas_keras.costs import _shapes

# No multiply-adds of a kernel, as with activations, additions and norms.
FREE = frozenset(
    """
    Abs Absolute Add AffineTransform All AllClose Amax Amin Angle Any Append
    Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin
    Argpartition Argsort Array ArraySplit Average BatchNorm BinaryCrossentropy
    Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr
    BitwiseRightShift BitwiseXor BroadcastTo Cast CategoricalCrossentropy Cbrt
    Ceil Celu Clip Concatenate Conj Conjugate ConvertToTensor Copy Cos Cosh
    CountNonzero CropImages Cross Cumprod Cumsum Deg2rad DepthToSpace Diag
    Diagflat Diagonal Diff Digitize Divide DivideNoNan Dsplit Dstack Elu
    EmptyLike Equal Erf Erfc Erfinv Exp Exp2 ExpandDims Expm1 ExtractPatches
    ExtractSequences Fabs Flip Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod
    Fold Full FullLike Gcd Gelu Geomspace GetItem Glu Greater GreaterEqual
    HSVToRGB HardShrink HardSigmoid HardSilu HardSwish HardTanh Heaviside
    Histogram Hsplit Hstack Hypot I0 Imag InTopK IsIn Isclose Isfinite Isinf
    Isnan Isneginf Isposinf Isreal LayerNorm Lcm Ldexp LeakyRelu LeftShift Less
    LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp
    Logaddexp2 LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp
    MapCoordinates Max Maximum Mean Median Meshgrid Min Minimum Mod Moments
    Moveaxis MultiHot Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum
    Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd
    Nansum Nanvar Ndim Negative Nextafter Nonzero Norm Normalize NotEqual OneHot
    OnesLike Pad PadImages Percentile PerspectiveTransform Polar Power Prod Ptp
    Quantile RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Rearrange
    Reciprocal Relu Relu6 Repeat Reshape Resize RightShift Roll Rot90 Round
    Rsqrt SaturateCast ScaleAndTranslate Scatter ScatterUpdate SearchSorted
    SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum Select Selu
    Sigmoid Sign Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate SoftShrink
    Softmax Softplus Softsign Sort SpaceToDepth SparseCategoricalCrossentropy
    SparsePlus SparseSigmoid Sparsemax Split Sqrt Square Squareplus Squeeze
    Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh
    TanhShrink Threshold Tile TopK Trace Transpose Trapezoid Tril Triu
    TrueDivide Trunc Unfold Unique UnravelIndex Unstack Var View ViewAsComplex
    ViewAsReal Vsplit Vstack Where ZerosLike
    """.split()
)


def _matmul(operation, shapes):
    a, b = shapes
    a = a if len(a) > 1 else (1, *a)
    b = b if len(b) > 1 else (*b, 1)
    batch = np.broadcast_shapes(a[:-2], b[:-2])
    return math.prod((*batch, *a[-2:], b[-1]))


def _dot(operation, shapes):
    a, b = shapes
    if not a or not b:
        return 0  # With a scalar it is elementwise.
    return math.prod(a) * math.prod(b) // a[-1]


def _inner(operation, shapes):
    return _dot(operation, shapes)


def _outer(operation, shapes):
    a, b = shapes
    return math.prod(a) * math.prod(b)


def _vdot(operation, shapes):
    return math.prod(shapes[0])


def _tensordot(operation, shapes):
    a, b = shapes
    axes = operation.axes
    if isinstance(axes, int):
        joined = math.prod(a[len(a) - axes :])
    else:
        first = axes[0] if isinstance(axes[0], (list, tuple)) else [axes[0]]
        joined = math.prod(a[axis] for axis in first)
    return math.prod(a) * math.prod(b) // joined


def _einsum(operation, shapes):
    return products(operation.subscripts, shapes)


def products(equation, shapes):
    """Count a product of an einsum for every combination of its indices.

    Args:
        equation: str, such as "ab,bc->ac".
        shapes: sequence of tuple, of each operand.

    Returns:
        int; 0 for a single operand, which is only summed and transposed.
    """
    if len(shapes) == 1:
        return 0
    terms = equation.replace(" ", "").split("->")[0].split(",")
    sizes = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, length in zip(_labels(term, shape), shape, strict=True):
            sizes[label] = max(length, sizes.get(label, 1))
    return (len(shapes) - 1) * math.prod(sizes.values())


def _labels(term, shape):
    """Return a label for each axis; those of an ellipsis count from behind."""
    before, _, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after)
    return [*before, *range(-hidden, 0), *after]


def _conv(operation, shapes):
    kernel = shapes[1]
    outputs = _shapes.operation_output_size(operation, shapes)
    return math.prod(kernel[:-1]) * outputs


def _depthwise_conv(operation, shapes):
    kernel = shapes[1]
    outputs = _shapes.operation_output_size(operation, shapes)
    return math.prod(kernel[:-2]) * outputs


def _separable_conv(operation, shapes):
    depthwise, pointwise = shapes[1:]
    outputs = _shapes.operation_output_size(operation, shapes)
    pixels = outputs // pointwise[-1]
    return pixels * (math.prod(depthwise) + math.prod(pointwise))


def _conv_transpose(operation, shapes):
    inputs, kernel = shapes
    return math.prod(inputs) * math.prod(kernel[:-1])


def _attention(operation, shapes):
    """Count the scores and the weighted sum of the values."""
    query, key, value = shapes[:3]
    pairs = math.prod(query[:-1]) * key[1]
    return pairs * (query[-1] + value[-1])


def _pool(operation, shapes):
    size = operation.pool_size
    window = size ** (len(shapes[0]) - 2) if isinstance(size, int) else None
    window = window or math.prod(size)
    return window * _shapes.operation_output_size(operation, shapes)


def _adaptive_pool(operation, shapes):
    [shape] = shapes
    is_last = operation.data_format != "channels_first"
    inner = shape[1:-1] if is_last else shape[2:]
    channels = shape[-1] if is_last else shape[1]
    return shape[0] * channels * windows(inner, operation.output_size)


def windows(lengths, outputs):
    """Sum the sizes of all windows of an adaptive pooling.

        window_i = ceil((i + 1) length / outputs) - floor(i length / outputs)

    Args:
        lengths: tuple of int, the input's.
        outputs: int or tuple of int, the output's.

    Returns:
        int.
    """
    if isinstance(outputs, int):
        outputs = (outputs,) * len(lengths)
    return math.prod(
        sum(-(-(i + 1) * n // m) - i * n // m for i in range(m))
        for n, m in zip(lengths, outputs, strict=True)
    )


KERNELS = {
    "AdaptiveAveragePool": _adaptive_pool,
    "AdaptiveMaxPool": _adaptive_pool,
    "AveragePool": _pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthwiseConv": _depthwise_conv,
    "Dot": _dot,
    "DotProductAttention": _attention,
    "Einsum": _einsum,
    "Inner": _inner,
    "Kron": _outer,
    "Matmul": _matmul,
    "MaxPool": _pool,
    "Outer": _outer,
    "SeparableConv": _separable_conv,
    "Tensordot": _tensordot,
    "Vdot": _vdot,
}


def zero(operation, shapes):
    """Return 0: what `FREE` operations cost.

    Args:
        operation: not used.
        shapes: not used.

    Returns:
        float.
    """
    return 0.0


def access(operation, shapes):
    """Count what an operation reads and writes: its operands and its output.

    Args:
        operation: keras.Operation.
        shapes: tuple of tuple, of each operand.

    Returns:
        int.
    """
    read = sum(map(math.prod, shapes))
    return read + _shapes.operation_output_size(operation, shapes)
