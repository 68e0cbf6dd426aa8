"""Mean and variance of what batch norms get, exact over all calls."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Moments:
    """Count, mean and variance of all values seen, in float64.

    Batches join by

        mean = sum_i n_i mean_i / n
        variance = sum_i n_i (variance_i + (mean_i - mean)^2) / n

    so batches of any length, and data far from zero, give what one pass over
    all values gives.
    """

    def __init__(self) -> None:
        self.count = 0.0
        self.mean: Any = 0.0
        self.deviation: Any = 0.0

    def add(self, values: np.ndarray) -> None:
        """Add values.

        Args:
            values: array, shape (values, channels).
        """
        n, before = len(values), self.count
        if not n:
            return
        mean = values.mean(0)
        shift = mean - self.mean
        self.count = before + n
        self.mean = self.mean + shift * n / self.count
        self.deviation = (
            self.deviation
            + ((values - mean) ** 2).sum(0)
            + shift**2 * before * n / self.count
        )

    @property
    def variance(self) -> Any:
        """Variance of the values, not that of what they are drawn from."""
        return self.deviation / self.count


class Watched:
    """Batch norms whose inputs are watched while the block runs.

    Args:
        norms: list of built `keras.layers.BatchNormalization`.
    """

    def __init__(self, norms: list[Any]):
        self.moments = [(norm, Moments()) for norm in norms]

    def __enter__(self) -> "Watched":
        for norm, moments in self.moments:
            norm.call = _watching(norm, norm.call, moments)
        return self

    def __exit__(self, *_: Any) -> None:
        for norm, _moments in self.moments:
            del norm.call

    def assign(self) -> None:
        """Store the moments of each norm that was called in training."""
        for norm, moments in self.moments:
            if moments.count:
                norm.moving_mean.assign(moments.mean)
                norm.moving_variance.assign(moments.variance)


def _watching(norm, call, moments):
    def watched(inputs, training=None, mask=None, **kwargs):
        if training and norm.trainable:
            if not tf.executing_eagerly():
                raise ValueError(
                    f"Batch norm {norm.name!r} is called where TensorFlow "
                    "traces a graph, which has no values to recalibrate it by. "
                    "Call it outside, or freeze it."
                )
            moments.add(_by_channel(norm, inputs, mask))
        return call(inputs, training=training, mask=mask, **kwargs)

    return watched


def _by_channel(norm, inputs, mask):
    """Return the unmasked values in float64, shape (values, channels)."""
    values = keras.ops.convert_to_numpy(tf.cast(inputs, "float64"))
    values = np.moveaxis(values, norm.axis, -1)
    if mask is not None:
        values = values[np.asarray(mask, bool)]
    return values.reshape(-1, values.shape[-1])
