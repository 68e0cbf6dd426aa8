"""Batch normalization by TensorFlow's fused kernel."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(
    package="snas_keras", name="BatchNormalization"
)
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization by TensorFlow's fused kernel.

    In training it computes the same as `keras.layers.BatchNormalization`, in
    one graph node in place of eight; with about a thousand such layers in a
    supernet that halves the graph. The moving variance is updated by the
    unbiased variance of the batch, as in the paper's code; Keras uses the
    biased one (a factor n / (n - 1), where n counts batch, height and width).

    Outside training, and where the kernel does not apply (other ranks or axes,
    float64, masks, `synchronized=True`), it is exactly the parent class.

    Args:
        momentum: float, momentum of the moving statistics, default 0.9 as in
            the paper's code ("momentum 0.1" in PyTorch).
        epsilon: float, added to the variance, default 1e-5 as in the paper's
            code.
        **kwargs: passed to `keras.layers.BatchNormalization`.
    """

    takes_weight = True  # `call` multiplies by `weight` at no cost.

    def __init__(
        self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any
    ):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(
        self,
        inputs: Any,
        training: Any = None,
        mask: Any = None,
        weight: Any = None,
    ) -> Any:
        is_image = len(inputs.shape) == 4 and self.axis in (3, -1)
        is_plain = is_image and mask is None and not self.synchronized
        # The kernel does not support float64.
        is_plain = is_plain and self.compute_dtype != "float64"
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

    def to_stock(self) -> Any:
        """Return an equal layer of stock Keras classes."""
        return keras.layers.BatchNormalization.from_config(self.get_config())


# Keras stores the name of a layer's class in files: the first release's files
# have this one.
FusedBatchNormalization.__name__ = "BatchNormalization"


def _value(variable, exists=True, default=None, size=None):
    """Read a float32 variable, whatever the policy, or make its constant."""
    if not exists:
        return default([size])
    return tf.cast(tf.convert_to_tensor(variable), "float32")
