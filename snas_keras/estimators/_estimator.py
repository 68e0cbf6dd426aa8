"""The interface of estimators, and their noise and seeds."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="snas_keras")
class Estimator:
    """A map from the logits of a choice to the weights of its candidates.

    Args:
        sample: function (logits, temperature, seed) -> weights, all of shape
            (..., candidates). It is pure: the same seed gives the same draw.
        log_density: function (logits, temperature, seed) -> log p(draw),
            shape (...,), the draw held constant. Default None: the weights are
            deterministic, or their density is unknown; then the score function
            is not available.
        runs_one_path: bool, whether the weights are always one-hot and only
            the candidate with weight 1 is run and trained, default False.

    Call arguments:
        logits: float tensor, shape (..., candidates).
        temperature: float scalar tensor, above zero.
        seed: int32 tensor, shape (2,).

    Returns:
        Float tensor like `logits`.

    Example:

    >>> halves = Estimator(lambda logits, temperature, seed: 0 * logits + 0.5)
    >>> halves(np.zeros(2), 1.0, None).tolist()
    [0.5, 0.5]
    """

    def __init__(
        self,
        sample: Callable[..., Any],
        log_density: Callable[..., Any] | None = None,
        runs_one_path: bool = False,
    ):
        functools.update_wrapper(self, sample)
        self.sample = sample
        self.log_density = log_density
        self.runs_one_path = runs_one_path

    def __call__(self, logits: Any, temperature: Any, seed: Any) -> Any:
        return self.sample(logits, temperature, seed)

    def __repr__(self) -> str:
        name = getattr(self.sample, "__name__", repr(self.sample))
        return f"Estimator({name})"

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "sample": serialize(self.sample),
            "log_density": serialize(self.log_density),
            "runs_one_path": self.runs_one_path,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Estimator":
        functions = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("sample", "log_density")
        }
        return cls(**{**config, **functions})


def gumbel(like: Any, seed: Any) -> Any:
    """Draw Gumbel(0, 1) noise, with the same bits on every device.

        g = -log(-log u),  u ~ Uniform(0, 1)

    The bits are integers of the counter-based generator Philox, which are equal
    on all devices and under XLA; TensorFlow's random floats differ under XLA.

    Args:
        like: float32 or float64 tensor, of the shape and dtype of the noise.
        seed: int32 tensor, shape (2,).

    Returns:
        Float tensor.

    Reference:
        Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2,
        3", 2011, https://doi.org/10.1145/2063384.2063405.
    """
    mantissa = np.finfo(like.dtype.as_numpy_dtype).nmant
    integer = tf.int32 if like.dtype == tf.float32 else tf.int64
    bits = tf.random.stateless_uniform(
        tf.shape(like),
        seed,
        minval=None,
        maxval=None,
        dtype=integer,
        alg="philox",
    )
    bits = tf.bitwise.bitwise_and(bits, tf.constant(2**mantissa - 1, integer))
    tiny = np.finfo(like.dtype.as_numpy_dtype).tiny
    u = tf.cast(bits, like.dtype) * 2.0**-mantissa * (1.0 - tiny) + tiny
    return -tf.math.log(-tf.math.log(u))


def fold_seed(seed: int, step: Any, salt: int) -> Any:
    """Mix a seed, a step and a salt into one stateless seed.

    Args:
        seed: int, the user's seed.
        step: int scalar tensor, the training step.
        salt: int, different for each draw of one step.

    Returns:
        int32 tensor, shape (2,).
    """
    pair = ops.stack([ops.cast(seed % 2**31, "int32"), ops.cast(step, "int32")])
    return tf.random.experimental.stateless_fold_in(pair, salt, alg="philox")


def one_hot_of_largest(values: Any) -> Any:
    """Return the one-hot encoding of the largest value; the first wins ties.

    Args:
        values: float tensor, shape (..., candidates).

    Returns:
        Float tensor like `values`.
    """
    return ops.one_hot(
        ops.argmax(values, axis=-1), values.shape[-1], dtype=values.dtype
    )


def one_hot_log_density(logits: Any, z: Any) -> Any:
    """Return log p(z | logits) of a one-hot draw, the draw held constant.

        log p(z) = sum_i z_i log softmax(logits)_i

    Args:
        logits: float tensor, shape (..., candidates).
        z: float tensor like `logits`, one-hot.

    Returns:
        Float tensor, shape (...,).
    """
    log_p = tf.nn.log_softmax(tf.convert_to_tensor(logits))
    return ops.sum(ops.stop_gradient(z) * log_p, axis=-1)
