"""Costs of a built layer: parameters, multiply-adds, memory access.

A cost is a function (layer, input_shape) -> float for one example. It is read
off the layer by its type. Teach it a layer of your own with one decorator:

    @snas_keras.costs.flops.register(MyLayer)
    def _(layer, input_shape):
        return 2.0 * input_shape[-1]
"""

import functools
import math

import keras

from snas_keras import layers

KL = keras.layers

_FREE = (
    KL.InputLayer,
    KL.Identity,
    KL.Activation,
    KL.ReLU,
    KL.LeakyReLU,
    KL.PReLU,
    KL.ELU,
    KL.Softmax,
    KL.Dropout,
    KL.SpatialDropout1D,
    KL.SpatialDropout2D,
    KL.SpatialDropout3D,
    KL.GaussianNoise,
    KL.GaussianDropout,
    KL.BatchNormalization,
    KL.LayerNormalization,
    KL.GroupNormalization,
    KL.RMSNormalization,
    KL.UnitNormalization,
    KL.ActivityRegularization,
    KL.Masking,
    KL.Rescaling,
    layers.DropPath,
    layers.Zero,
)
_VIEWS = (
    KL.ZeroPadding1D,
    KL.ZeroPadding2D,
    KL.ZeroPadding3D,
    KL.Cropping1D,
    KL.Cropping2D,
    KL.Cropping3D,
    KL.Reshape,
    KL.Flatten,
    KL.Permute,
    KL.UpSampling1D,
    KL.UpSampling2D,
    KL.UpSampling3D,
)
# Raw `keras.ops` calls in a functional model; Keras does not export their
# classes.
FREE_OPERATIONS = {
    "Add",
    "Subtract",
    "Multiply",
    "Divide",
    "TrueDivide",
    "Relu",
    "Cast",
    "GetItem",
    "Reshape",
    "Transpose",
    "Concatenate",
    "ZerosLike",
}
_MERGES = (KL.Add, KL.Subtract, KL.Multiply, KL.Average, KL.Maximum, KL.Minimum)
_CONVOLUTIONS = (KL.Conv1D, KL.Conv2D, KL.Conv3D)
_TRANSPOSED = (KL.Conv1DTranspose, KL.Conv2DTranspose, KL.Conv3DTranspose)
_DEPTHWISE = (KL.DepthwiseConv1D, KL.DepthwiseConv2D)
_SEPARABLE = (KL.SeparableConv1D, KL.SeparableConv2D)
_POOLS = (
    KL.MaxPooling1D,
    KL.MaxPooling2D,
    KL.MaxPooling3D,
    KL.AveragePooling1D,
    KL.AveragePooling2D,
    KL.AveragePooling3D,
)
_GLOBAL_POOLS = (
    KL.GlobalAveragePooling1D,
    KL.GlobalAveragePooling2D,
    KL.GlobalAveragePooling3D,
    KL.GlobalMaxPooling1D,
    KL.GlobalMaxPooling2D,
    KL.GlobalMaxPooling3D,
)


def parameters(layer, input_shape):
    """Count the trainable numbers of a built layer.

    Args:
        layer: Keras layer, built.
        input_shape: tuple, not used.

    Returns:
        float, trainable parameters.
    """
    del input_shape
    return float(sum(math.prod(v.shape) for v in layer.trainable_variables))


@functools.singledispatch
def flops(layer, input_shape):
    """Count the multiply-adds of a built layer for one example.

    A convolution counts kernel size x input channels x outputs, a pooling
    window size x outputs; activations, batch norm, additions and bias nothing,
    as in the paper's code.

    Args:
        layer: Keras layer, built.
        input_shape: tuple with the batch dimension, e.g. (None, 32, 32, 16).

    Returns:
        float, multiply-adds for one example.

    Raises:
        TypeError: the layer's type is not known; the message says how to teach
            it.
    """
    return _zero_or_unknown(layer, "flops")


@functools.singledispatch
def memory_access(layer, input_shape):
    """Count the numbers that a built layer reads and writes for one example.

    Inputs, outputs and parameters count once for each kernel that is run;
    activations and batch norm nothing, as in the paper's code. Padding,
    cropping and subsampling move nothing themselves: the layer that follows
    reads what was there before them.

    Args:
        layer: Keras layer, built.
        input_shape: tuple with the batch dimension, e.g. (None, 32, 32, 16).

    Returns:
        float, numbers read and written for one example.

    Raises:
        TypeError: the layer's type is not known; the message says how to teach
            it.
    """
    return _zero_or_unknown(layer, "memory_access")


COSTS = {
    "parameters": parameters,
    "flops": flops,
    "memory_access": memory_access,
}


def get(cost):
    """Look a cost up by name; a callable is returned as it is.

    Args:
        cost: str, one of `COSTS`, or a function (layer, input_shape) -> float.

    Returns:
        The function.

    Raises:
        ValueError: the name is not known.
    """
    if callable(cost):
        return cost
    if cost not in COSTS:
        raise ValueError(
            f"There is no such cost. Received: cost={cost!r}. Allowed: "
            f"{sorted(COSTS)} or a function (layer, input_shape) -> float."
        )
    return COSTS[cost]


def model_calls(model, input_shapes=None):
    """List every layer call of a functional model with concrete shapes.

    Args:
        model: Functional or Sequential Keras model, built.
        input_shapes: shape of its input, or None for the model's own.

    Returns:
        List of (layer, input shape); the shape has the structure of the call's
        first argument.
    """
    if isinstance(model, keras.Sequential):
        return _sequential_calls(model, input_shapes or model.input_shape)
    calls = []

    def record(layer, *args, **kwargs):
        calls.append((layer, _shapes(args[0])))
        return layer(*args, **kwargs)

    inputs = keras.tree.flatten(model.input)
    shapes = _flat(input_shapes) or [x.shape for x in inputs]
    tensors = keras.tree.pack_sequence_as(
        model.input,
        [
            keras.Input(batch_shape=shape, dtype=x.dtype)
            for x, shape in zip(inputs, shapes, strict=True)
        ],
    )
    # The layers themselves are called again, so that their weights count.
    keras.models.clone_model(
        model,
        input_tensors=tensors,
        clone_function=lambda layer: layer,
        call_function=record,
    )
    return calls


def _shapes(tensors):
    if isinstance(tensors, (tuple, list)):
        return tuple(_shapes(x) for x in tensors)
    return tuple(tensors.shape)


def _flat(shapes):
    if not shapes:
        return []
    if isinstance(shapes[0], (tuple, list)):
        return [shape for part in shapes for shape in _flat(part)]
    return [shapes]


def _sequential_calls(model, shape):
    calls = []
    for layer in model.layers:
        calls.append((layer, shape))
        # Not compute_output_shape, which a user's layer need not have.
        shape = _shapes(layer.compute_output_spec(keras.KerasTensor(shape)))
    return calls


def _zero_or_unknown(layer, cost):
    kind = type(layer).__name__
    if not isinstance(layer, KL.Layer) and kind in FREE_OPERATIONS:
        return 0.0
    raise TypeError(
        f"The cost {cost!r} does not know layers of type {kind} (layer "
        f"{layer.name!r}). Teach it: @snas_keras.costs.{cost}.register({kind}) "
        "above a function (layer, input_shape) -> float."
    )


def _size(shape):
    """Count the numbers of one example."""
    if any(isinstance(part, (tuple, list)) for part in shape):
        return sum(_size(part) for part in shape)
    if None in shape[1:]:
        raise ValueError(
            "A cost needs fixed shapes; give the search space's Input full "
            f"sizes. Received: shape={tuple(shape)}"
        )
    return math.prod(shape[1:])


def _output_size(layer, input_shape):
    return _size(layer.compute_output_shape(input_shape))


def _kernel_size(layer):
    return math.prod(layer.kernel_size)


def _convolution_flops(layer, input_shape):
    per_output = math.prod(layer.kernel.shape[:-1])
    return float(per_output * _output_size(layer, input_shape))


def _transposed_flops(layer, input_shape):
    per_input = math.prod(layer.kernel.shape[:-1])
    return float(per_input * _size(input_shape))


def _depthwise_flops(layer, input_shape):
    return float(_kernel_size(layer) * _output_size(layer, input_shape))


def _separable_flops(layer, input_shape):
    pixels = _output_size(layer, input_shape) // layer.filters
    depthwise = math.prod(layer.depthwise_kernel.shape)
    pointwise = math.prod(layer.pointwise_kernel.shape)
    return float(pixels * (depthwise + pointwise))


def _dense_flops(layer, input_shape):
    rows = _size(input_shape) // input_shape[-1]
    return float(rows * math.prod(layer.kernel.shape))


def _pool_flops(layer, input_shape):
    window = math.prod(layer.pool_size)
    if window == 1:
        return 0.0
    return float(window * _output_size(layer, input_shape))


def _in_out_parameters(layer, input_shape):
    moved = _size(input_shape) + _output_size(layer, input_shape)
    return moved + parameters(layer, input_shape)


def _pool_access(layer, input_shape):
    if math.prod(layer.pool_size) == 1:
        return 0.0
    return _in_out_parameters(layer, input_shape)


def _separable_access(layer, input_shape):
    pixels = _output_size(layer, input_shape) // layer.filters
    between = pixels * layer.pointwise_kernel.shape[-2]
    return _in_out_parameters(layer, input_shape) + 2 * between


def _zero(layer, input_shape):
    return 0.0


def _summed(cost):
    def total(model, input_shape):
        return float(sum(cost(*c) for c in model_calls(model, input_shape)))

    return total


def _access_of_model(model, input_shape):
    """Sum the calls; what reads a view is charged with what the view reads."""
    if not isinstance(model, keras.Sequential):
        return _summed(memory_access)(model, input_shape)
    total, skipped = 0.0, 0
    for layer, shape in model_calls(model, input_shape):
        access = memory_access(layer, shape)
        total += access + (skipped if access else 0)
        if _is_view(layer):
            skipped += _size(shape) - _output_size(layer, shape)
        elif access:
            skipped = 0
    return float(total)


def _is_view(layer):
    return isinstance(layer, _VIEWS) or (
        isinstance(layer, _POOLS) and math.prod(layer.pool_size) == 1
    )


def _register(types, flops_rule, access_rule):
    for kind in types:
        flops.register(kind, flops_rule)
        memory_access.register(kind, access_rule)


_register(_FREE, _zero, _zero)
_register(_VIEWS, _zero, _zero)
_register(_MERGES, _zero, _zero)
_register((KL.Concatenate,), _zero, _zero)
_register(_CONVOLUTIONS, _convolution_flops, _in_out_parameters)
_register(_TRANSPOSED, _transposed_flops, _in_out_parameters)
_register(_DEPTHWISE, _depthwise_flops, _in_out_parameters)
_register(_SEPARABLE, _separable_flops, _separable_access)
_register((KL.Dense,), _dense_flops, _in_out_parameters)
_register((KL.Embedding,), _zero, _in_out_parameters)
_register(_POOLS, _pool_flops, _pool_access)
_register(
    _GLOBAL_POOLS,
    lambda layer, input_shape: float(_size(input_shape)),
    _in_out_parameters,
)
_register((keras.Model,), _summed(flops), _access_of_model)


@flops.register(layers.SymmetricPooling2D)
def _(layer, input_shape):
    return float(layer.size**2 * _output_size(layer, input_shape))


memory_access.register(layers.SymmetricPooling2D, _in_out_parameters)


@memory_access.register(KL.Identity)
def _(layer, input_shape):
    return 2.0 * _size(input_shape)


@flops.register(layers.FactorizedReduce)
def _(layer, input_shape):
    return float(input_shape[-1] * _output_size(layer, input_shape))


@memory_access.register(layers.FactorizedReduce)
def _(layer, input_shape):
    size = float(input_shape[-1] * layer.filters)
    return 2 * _size(input_shape) + _output_size(layer, input_shape) + size
