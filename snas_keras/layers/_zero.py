"""The candidate `none`."""

from typing import Any

import keras
from keras import ops

from snas_keras._utils import checks
from snas_keras.layers import _pooling


@keras.saving.register_keras_serializable(package="snas_keras")
class Zero(keras.layers.Layer):
    """The candidate `none`: zeros, with the stride of the other candidates.

        y = 0 * x[::strides, ::strides]

    The child network has no layer for an edge that chooses it.

    Args:
        strides: int, spatial stride, default 1. Above 1 the input must have the
            shape (batch, height, width, channels).
        **kwargs: passed to `keras.layers.Layer`.

    Raises:
        ValueError: `strides` is not a positive int.
    """

    is_inert = True

    def __init__(self, strides: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.strides = checks.positive_int("strides", strides)

    def call(self, inputs: Any) -> Any:
        if self.strides > 1:
            inputs = inputs[:, :: self.strides, :: self.strides]
        return ops.zeros_like(inputs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return previous_mask if self.strides == 1 else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.strides == 1:
            return tuple(input_shape)
        return _pooling.subsampled_shape(input_shape, self.strides)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strides": self.strides}
