"""Factorized reduction of height and width by two."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import checks
from snas_keras.layers import _batch_norm


@keras.saving.register_keras_serializable(package="snas_keras")
class FactorizedReduce(keras.layers.Layer):
    """Factorized reduction: halve height and width by two convolutions.

        y = batch_norm(concat(conv_1x1(r[::2, ::2]), conv_1x1(r[1::2, 1::2])))
        r = relu(x)

    Each convolution has half of the filters and no bias; one reads the pixels
    of even rows and columns, the other those of odd ones.

    Args:
        filters: int, output channels, an even number.
        affine: bool, whether the batch norm learns scale and offset, default
            True; the paper's supernet has False.
        **kwargs: passed to `keras.layers.Layer`.

    Raises:
        ValueError: `filters` is not a positive even int, or height or width of
            the input is odd.

    Reference:
        Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019,
        https://arxiv.org/abs/1806.09055.
    """

    takes_weight = True  # `call` multiplies by `weight` at no cost.

    def __init__(self, filters: int, affine: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        if checks.positive_int("filters", filters) % 2:
            raise ValueError(
                f"`filters` must be even. Received: filters={filters}"
            )
        self.filters = filters
        self.affine = affine
        self.even = self._half("even")
        self.odd = self._half("odd")
        self.norm = _batch_norm.FusedBatchNormalization(
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

    def build(self, input_shape: Any) -> None:
        if any(side is not None and side % 2 for side in input_shape[1:3]):
            raise ValueError(
                "FactorizedReduce halves height and width, which must be even. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.even.build(input_shape)
        self.odd.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(
        self, inputs: Any, training: Any = False, weight: Any = None
    ) -> Any:
        x = ops.relu(inputs)
        halves = self._halves(x) if training else self._stock_halves(x)
        x = ops.concatenate(halves, axis=-1)
        return self.norm(x, training=training, weight=weight)

    def _stock_halves(self, x):
        return [self.even(x), self.odd(x[:, 1:, 1:])]

    def _halves(self, x):
        # The phases as channels: with gradient a third faster than convolutions
        # of stride 2.
        even, _, _, odd = tf.split(tf.nn.space_to_depth(x, 2), 4, axis=-1)
        pairs = ((even, self.even), (odd, self.odd))
        return [ops.conv(phase, half.kernel) for phase, half in pairs]

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape
        return (batch, _half_of(height), _half_of(width), self.filters)

    def to_stock(self) -> Any:
        """Return an equal model of stock Keras layers."""
        policy = self.dtype_policy
        inputs = keras.Input(
            (None, None, self.even.kernel.shape[-2]), dtype=self.compute_dtype
        )
        x = keras.layers.ReLU(dtype=policy)(inputs)
        shifted = keras.layers.Cropping2D(((1, 0), (1, 0)), dtype=policy)(x)
        even = self.even.from_config(self.even.get_config())(x)
        odd = self.odd.from_config(self.odd.get_config())(shifted)
        x = keras.layers.Concatenate(dtype=policy)([even, odd])
        return keras.Model(inputs, self.norm.to_stock()(x), name=self.name)

    def get_config(self) -> dict[str, Any]:
        config = {"filters": self.filters, "affine": self.affine}
        return {**super().get_config(), **config}


def _half_of(side):
    return None if side is None else side // 2
