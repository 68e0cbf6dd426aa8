"""Pooling with the same padding on both sides."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import checks


@keras.saving.register_keras_serializable(package="snas_keras")
class SymmetricPooling2D(keras.layers.Layer):
    """Pooling with symmetric padding, unlike Keras' "same" at stride 2.

    Windows are centred on the pixels 0, strides, 2 strides, ... The padding
    counts as minus infinity in a maximum, and does not count in an average.

    Args:
        kind: str, "max" or "avg".
        size: int, odd window side.
        strides: int, default 1.
        **kwargs: passed to `keras.layers.Layer`.

    Raises:
        ValueError: `kind` is unknown, or `size` is not a positive odd int, or
            `strides` not a positive int.
    """

    def __init__(self, kind: str, size: int, strides: int = 1, **kwargs: Any):
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

    def call(self, inputs: Any, training: Any = False) -> Any:
        if self.kind == "max":
            return self._max(inputs)
        if training and self.strides > 1:
            return self._strided_average(inputs)
        y = ops.average_pool(inputs, self.size, 1, padding="same")
        return y[:, :: self.strides, :: self.strides]

    # At stride 2 explicit padding before a "VALID" pooling is two to four times
    # as fast as padding in the kernel or pooling at full size.

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

    def compute_output_shape(self, input_shape: Any) -> Any:
        return subsampled_shape(input_shape, self.strides)

    def to_stock(self) -> Any:
        """Return an equal layer or model of stock Keras classes."""
        pools = {
            "max": keras.layers.MaxPooling2D,
            "avg": keras.layers.AveragePooling2D,
        }
        policy = self.dtype_policy
        pool = pools[self.kind](self.size, 1, padding="same", dtype=policy)
        if self.strides == 1:
            return pool
        return keras.Sequential([pool, subsampling(self.strides, policy)])

    def get_config(self) -> dict[str, Any]:
        config = {"kind": self.kind, "size": self.size, "strides": self.strides}
        return {**super().get_config(), **config}


def subsampling(strides: int, dtype: Any = None) -> keras.layers.Layer:
    """Make the stock layer for x[:, ::strides, ::strides].

    Args:
        strides: int, stride of height and width.
        dtype: dtype policy, default None: the global one.

    Returns:
        Keras layer.
    """
    return keras.layers.MaxPooling2D(1, strides, dtype=dtype)


def subsampled_shape(shape: Any, strides: int) -> tuple[Any, ...]:
    """Return the shape of x[:, ::strides, ::strides].

    Args:
        shape: (batch, height, width, channels), where sides may be None.
        strides: int.

    Returns:
        tuple (batch, height, width, channels).
    """
    batch, *sides, channels = shape
    sides = [None if side is None else -(-side // strides) for side in sides]
    return (batch, *sides, channels)
