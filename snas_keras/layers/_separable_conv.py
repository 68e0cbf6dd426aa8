"""Separable convolution on the phases of the image."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(
    package="snas_keras", name="SeparableConv2D"
)
class PhasedSeparableConv2D(keras.layers.SeparableConv2D):
    """Separable convolution that trains faster at dilation 2.

    A convolution of dilation 2 is an undilated convolution of each of the four
    phases of the image (the pixels of equal parity of row and column). It is
    computed so in training, and edges on the same image compute its phases only
    once. The outputs are the same.

    Outside training, and where this does not apply (other dilations or
    strides, odd or unknown sides, a bias, an activation), it is the parent
    class.

    Args:
        *args: passed to `keras.layers.SeparableConv2D`.
        **kwargs: passed to `keras.layers.SeparableConv2D`.
    """

    def call(self, inputs: Any, training: Any = False) -> Any:
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

    def to_stock(self) -> Any:
        """Return an equal layer of stock Keras classes."""
        return keras.layers.SeparableConv2D.from_config(self.get_config())


# Keras stores the name of a layer's class in files: the first release's files
# have this one.
PhasedSeparableConv2D.__name__ = "SeparableConv2D"


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
