"""The few layers that Keras lacks; each can name its stock Keras equivalent.

`to_stock()` returns a new, unbuilt stock layer of the same name. Its weights,
once built, are those of the original in the same order.
"""

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import checks

register = keras.saving.register_keras_serializable(package="snas_keras")


@register
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization by TensorFlow's fused kernel.

    In training it computes what `keras.layers.BatchNormalization` computes, in
    one graph node in place of eight; with about a thousand such layers in a
    supernet that halves the graph. The moving variance takes the batch's
    unbiased variance, as the paper's code does; Keras' own takes the biased one
    (a factor n / (n - 1), where n counts batch, height and width).

    Outside training, and for what the kernel does not know (other ranks,
    another axis, masks, `synchronized=True`), it is the parent class, to the
    last bit.

    Args:
        momentum: float, of the moving statistics, default 0.9 as in the paper's
            code (its "momentum 0.1").
        epsilon: float, added to the variance, default 1e-5 as in the paper's
            code.
        **kwargs: of `keras.layers.BatchNormalization`.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, inputs, training=None, mask=None, weight=None):
        is_image = len(inputs.shape) == 4 and self.axis in (3, -1)
        is_plain = is_image and mask is None and not self.synchronized
        if training and self.trainable and is_plain:
            return self._fused(inputs, weight)
        outputs = super().call(inputs, training=training, mask=mask)
        return outputs if weight is None else weight * outputs

    def _fused(self, inputs, weight):
        scale = _value(self.gamma, self.scale, tf.ones, inputs.shape[-1])
        offset = _value(self.beta, self.center, tf.zeros, inputs.shape[-1])
        if weight is not None:
            weight = ops.cast(weight, scale.dtype)
            scale, offset = weight * scale, weight * offset
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=ops.cast(inputs, self.compute_dtype),
            scale=scale,
            offset=offset,
            mean=_value(self.moving_mean),
            variance=_value(self.moving_variance),
            epsilon=self.epsilon,
            exponential_avg_factor=1.0 - self.momentum,
        )
        self.moving_mean.assign(mean)
        self.moving_variance.assign(variance)
        return outputs

    def to_stock(self):
        return keras.layers.BatchNormalization.from_config(self.get_config())


@register
class Zero(keras.layers.Layer):
    """The candidate `none`: zeros, subsampled like the edge's other candidates.

        y = 0 * x[::strides, ::strides]

    An edge that takes it is left out of the child network.

    Args:
        strides: int, spatial stride, default 1. Above 1 the input must have the
            shape (batch, height, width, channels).

    Raises:
        ValueError: `strides` is not a positive int.
    """

    def __init__(self, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.strides = checks.positive_int("strides", strides)

    def call(self, inputs):
        if self.strides > 1:
            inputs = inputs[:, :: self.strides, :: self.strides]
        return ops.zeros_like(inputs)

    def compute_output_shape(self, input_shape):
        if self.strides == 1:
            return tuple(input_shape)
        return _subsampled(input_shape, self.strides)

    def get_config(self):
        return {**super().get_config(), "strides": self.strides}


@register
class FactorizedReduce(keras.layers.Layer):
    """Halve height and width, keeping every second pixel of both phases.

        y = batch_norm(concat(conv_1x1(r[::2, ::2]), conv_1x1(r[1::2, 1::2])))
        r = relu(x)

    Each convolution has half of the filters and no bias.

    Args:
        filters: int, output channels, even.
        affine: bool, whether the batch norm learns scale and offset, default
            True; the paper's supernet has False.

    Raises:
        ValueError: `filters` is not a positive even int, or height or width of
            the input is odd.

    Reference:
        Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019,
        https://arxiv.org/abs/1806.09055.
    """

    def __init__(self, filters, affine=True, **kwargs):
        super().__init__(**kwargs)
        if checks.positive_int("filters", filters) % 2:
            raise ValueError(
                f"`filters` must be even. Received: filters={filters}"
            )
        self.filters = filters
        self.affine = affine
        self.even = self._half("even")
        self.odd = self._half("odd")
        self.norm = BatchNormalization(
            center=affine, scale=affine, dtype=self.dtype_policy, name="norm"
        )

    def _half(self, name):
        return keras.layers.Conv2D(
            self.filters // 2,
            1,
            strides=2,
            use_bias=False,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape):
        if any(side is not None and side % 2 for side in input_shape[1:3]):
            raise ValueError(
                "FactorizedReduce halves height and width, which must be even. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.even.build(input_shape)
        self.odd.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs, training=False, weight=None):
        x = ops.relu(inputs)
        halves = self._halves(x) if training else self._stock_halves(x)
        x = ops.concatenate(halves, axis=-1)
        return self.norm(x, training=training, weight=weight)

    def _stock_halves(self, x):
        return [self.even(x), self.odd(x[:, 1:, 1:])]

    def _halves(self, x):
        # The phases as channels: measured to be a third faster with gradient
        # than convolutions of stride 2.
        even, _, _, odd = tf.split(tf.nn.space_to_depth(x, 2), 4, axis=-1)
        pairs = ((even, self.even), (odd, self.odd))
        return [ops.conv(phase, half.kernel) for phase, half in pairs]

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, _half_of(height), _half_of(width), self.filters)

    def to_stock(self):
        inputs = keras.Input((None, None, self.even.kernel.shape[-2]))
        x = keras.layers.ReLU(dtype=self.dtype_policy)(inputs)
        shifted = keras.layers.Cropping2D(((1, 0), (1, 0)))(x)
        even = self.even.from_config(self.even.get_config())(x)
        odd = self.odd.from_config(self.odd.get_config())(shifted)
        x = keras.layers.Concatenate(dtype=self.dtype_policy)([even, odd])
        return keras.Model(inputs, self.norm.to_stock()(x), name=self.name)

    def get_config(self):
        config = {"filters": self.filters, "affine": self.affine}
        return {**super().get_config(), **config}


@register
class SymmetricPooling2D(keras.layers.Layer):
    """Pool with the same padding on both sides, which "same" lacks at stride 2.

    Windows are centred on the pixels 0, strides, 2 strides, ... The padding
    never wins a maximum and is not counted in an average.

    Args:
        kind: str, "max" or "avg".
        size: int, odd window side.
        strides: int, default 1.

    Raises:
        ValueError: `kind` is unknown, or `size` is not a positive odd int, or
            `strides` not a positive int.
    """

    def __init__(self, kind, size, strides=1, **kwargs):
        super().__init__(**kwargs)
        if kind not in ("max", "avg"):
            raise ValueError(
                f"`kind` must be 'max' or 'avg'. Received: kind={kind!r}"
            )
        if checks.positive_int("size", size) % 2 == 0:
            raise ValueError(f"`size` must be odd. Received: size={size}")
        self.kind = kind
        self.size = size
        self.strides = checks.positive_int("strides", strides)

    def call(self, inputs, training=False):
        if self.kind == "max":
            return self._max(inputs)
        if training and self.strides > 1:
            return self._strided_average(inputs)
        y = ops.average_pool(inputs, self.size, 1, padding="same")
        return y[:, :: self.strides, :: self.strides]

    # At stride 2 explicit padding, then "VALID", is measured to be two to four
    # times as fast as explicit padding in the kernel or pooling at full size.

    def _max(self, inputs):
        if self.strides == 1:
            return tf.nn.max_pool2d(inputs, self.size, 1, "SAME")
        x = tf.pad(inputs, self._sides(), constant_values=inputs.dtype.min)
        return tf.nn.max_pool2d(x, self.size, self.strides, "VALID")

    def _strided_average(self, inputs):
        def pool(x):
            x = tf.pad(x, self._sides())
            return tf.nn.avg_pool2d(x, self.size, self.strides, "VALID")

        inside = pool(tf.ones_like(inputs[:1, :, :, :1]))
        return pool(inputs) / inside

    def _sides(self):
        side = [self.size // 2] * 2
        return [[0, 0], side, side, [0, 0]]

    def compute_output_shape(self, input_shape):
        return _subsampled(input_shape, self.strides)

    def to_stock(self):
        pools = {
            "max": keras.layers.MaxPooling2D,
            "avg": keras.layers.AveragePooling2D,
        }
        pool = pools[self.kind](self.size, 1, padding="same")
        if self.strides == 1:
            return pool
        return keras.Sequential([pool, subsampling(self.strides)])

    def get_config(self):
        config = {"kind": self.kind, "size": self.size, "strides": self.strides}
        return {**super().get_config(), **config}


@register
class DropPath(keras.layers.Layer):
    """Drop an edge for some examples, in training, and keep its mean.

        y = x keep / (1 - rate),  keep ~ Bernoulli(1 - rate) for each example

    The rate is a variable, so that `DropPathSchedule` can raise it while a
    child is trained, without a new trace. The stock `Dropout` that `convert`
    puts in its place has the rate fixed.

    Args:
        rate: float, at least 0 and below 1, probability to drop.
        seed: int, default None: drawn.

    Raises:
        ValueError: `rate` is not in that range.

    Reference:
        Larsson, Maire, Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks
        without Residuals", 2017, https://arxiv.org/abs/1605.07648.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.initial_rate = checks.drop_rate(rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.rate = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(rate),
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="rate",
        )

    def build(self, input_shape):
        self.rank = len(input_shape)

    def call(self, inputs, training=False):
        if not training:
            return inputs
        kept = 1.0 - tf.convert_to_tensor(self.rate)
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        drawn = keras.random.uniform(
            shape, dtype="float32", seed=self.seed_generator
        )
        mask = ops.floor(drawn + kept) / kept
        return inputs * ops.cast(mask, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def to_stock(self):
        noise_shape = (None, *[1] * (self.rank - 1))
        return keras.layers.Dropout(float(self.rate), noise_shape)

    def get_config(self):
        config = {"rate": self.initial_rate, "seed": self.seed}
        return {**super().get_config(), **config}


@register
class SeparableConv2D(keras.layers.SeparableConv2D):
    """A separable convolution whose dilation 2 is faster to train.

    Pixels at distance two never meet in a convolution of dilation 2: it is the
    plain one on each of the four phases of the image. In training that is what
    is computed, so that edges which read the same image regroup it only once.
    The numbers are the same.

    Outside training, and for what it does not apply to (other dilations or
    strides, odd or unknown sides, a bias, an activation), it is the parent
    class.

    Args:
        *args: of `keras.layers.SeparableConv2D`.
        **kwargs: of `keras.layers.SeparableConv2D`.
    """

    def call(self, inputs, training=False):
        if not training or not self._has_phases(inputs.shape):
            return super().call(inputs)
        phases = ops.separable_conv(
            _phases(inputs),
            self.depthwise_kernel,
            self.pointwise_kernel,
            padding="same",
        )
        return _joined(phases, *inputs.shape[1:3])

    def _has_phases(self, shape):
        sides = shape[1:3]
        return (
            tuple(self.dilation_rate) == (2, 2)
            and tuple(self.strides) == (1, 1)
            and self.padding == "same"
            and self.data_format == "channels_last"
            and not self.use_bias
            and self.activation is keras.activations.linear
            and None not in sides
            and not any(side % 2 for side in sides)
        )

    def to_stock(self):
        return keras.layers.SeparableConv2D.from_config(self.get_config())


def _phases(x):
    """Regroup (batch, 2h, 2w, channels) as (4 batch, h, w, channels)."""
    _, height, width, channels = x.shape
    half = (height // 2, width // 2)
    x = ops.reshape(x, (-1, half[0], 2, half[1], 2, channels))
    x = ops.transpose(x, (2, 4, 0, 1, 3, 5))
    return ops.reshape(x, (-1, *half, channels))


def _joined(phases, height, width):
    """Undo `_phases`."""
    channels = phases.shape[-1]
    shape = (2, 2, -1, height // 2, width // 2, channels)
    x = ops.transpose(ops.reshape(phases, shape), (2, 3, 0, 4, 1, 5))
    return ops.reshape(x, (-1, height, width, channels))


def weighted(layer, weight, inputs, training=False):
    """Compute weight * layer(inputs), in training by the last batch norm.

    A batch norm takes the weight into its scale and offset, so that the output
    is neither kept nor passed over once more for the weight's sake:

        weight (scale x + offset) = (weight scale) x + weight offset

    Args:
        layer: Keras layer.
        weight: float scalar tensor of the dtype that is wanted.
        inputs: what the layer takes.
        training: bool, default False.

    Returns:
        What the layer returns.
    """
    *parts, last = layer.layers if type(layer) is keras.Sequential else [layer]
    if training and isinstance(last, (BatchNormalization, FactorizedReduce)):
        for part in parts:
            inputs = part(inputs, training=training)
        y = last(inputs, training=training, weight=weight)
        return ops.cast(y, weight.dtype)
    # A candidate may carry a dtype policy of its own.
    return keras.tree.map_structure(
        lambda y: weight * ops.cast(y, weight.dtype),
        layer(inputs, training=training),
    )


def subsampling(strides):
    """Make the stock layer for x[:, ::strides, ::strides]."""
    return keras.layers.MaxPooling2D(1, strides)


def _value(variable, exists=True, default=None, size=None):
    """Read a float32 variable, whatever the policy, or make its constant."""
    if not exists:
        return default([size])
    return tf.cast(tf.convert_to_tensor(variable), "float32")


def _subsampled(shape, strides):
    batch, *sides, channels = shape
    sides = [None if side is None else -(-side // strides) for side in sides]
    return (batch, *sides, channels)


def _half_of(side):
    return None if side is None else side // 2
