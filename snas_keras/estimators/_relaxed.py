"""Relaxed draws from the concrete distribution, as in SNAS."""

import tensorflow as tf
import tensorflow_probability as tfp
from keras import ops

from snas_keras.estimators import _estimator


def _sample(logits, temperature, seed):
    """Draw from the concrete distribution, differentiably in the logits.

        z = softmax((logits + g) / temperature),  g ~ Gumbel(0, 1)

    The gradient flows through the draw:
    d z_i / d logits_j = z_i (delta_ij - z_j) / temperature.
    For temperature -> 0 the draw becomes one-hot and its distribution
    categorical; for temperature -> infinity it becomes uniform. Up to rounding,
    the draws equal those of TensorFlow Probability's
    `RelaxedOneHotCategorical` on a CPU; they are equal on every device.

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: float scalar tensor, above zero.
        seed: int32 tensor, shape (2,).

    Returns:
        Float tensor like `logits`, positive, summing to one.

    Reference:
        Maddison, Mnih, Teh, "The Concrete Distribution", 2017,
        https://arxiv.org/abs/1611.00712. Jang, Gu, Poole, "Categorical
        Reparameterization with Gumbel-Softmax", 2017,
        https://arxiv.org/abs/1611.01144.
    """
    return tf.exp(_log_sample(logits, temperature, seed))


def _log_sample(logits, temperature, seed):
    logits = tf.convert_to_tensor(logits)
    noise = _estimator.gumbel(logits, seed)
    noisy = (noise + logits) / tf.cast(temperature, logits.dtype)
    return noisy - tf.reduce_logsumexp(noisy, axis=-1, keepdims=True)


def _log_density(logits, temperature, seed):
    """Return log p(y | logits) of the draw, y = log z held constant.

    The density is that of log z, which stays finite at low temperature.
    It differs from the density of z itself by sum(log z), which has no
    gradient with respect to the logits:

        p(z) = Gamma(K) t^(K-1) prod_i p_i z_i^(-t-1) / (sum_i p_i z_i^-t)^K

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: float scalar tensor, above zero.
        seed: int32 tensor, shape (2,), the seed of the draw.

    Returns:
        Float tensor, shape (...,).

    Reference:
        Maddison, Mnih, Teh, "The Concrete Distribution", 2017, equation 22,
        https://arxiv.org/abs/1611.00712.
    """
    distribution = tfp.distributions.ExpRelaxedOneHotCategorical(
        temperature, logits=logits
    )
    draw = _log_sample(logits, temperature, seed)
    return distribution.log_prob(ops.stop_gradient(draw))


relaxed = _estimator.Estimator(_sample, _log_density)
