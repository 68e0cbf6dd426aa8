"""Estimators: how a choice's logits become the weights of its candidates.

An estimator is a function (logits, temperature, seed) -> weights. It is pure:
the same seed gives the same draw. This is the only module that touches
TensorFlow Probability.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from keras import ops


def relaxed(logits, temperature, seed):
    """Draw from the concrete distribution, differentiable in the logits.

        z = softmax((logits + g) / temperature),  g ~ Gumbel(0, 1)

    The gradient flows through the draw:
    d z_i / d logits_j = z_i (delta_ij - z_j) / temperature.
    For temperature -> 0 the draw becomes one-hot and its law categorical; for
    temperature -> infinity it becomes uniform.

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
    law = tfp.distributions.RelaxedOneHotCategorical(temperature, logits=logits)
    return law.sample(seed=seed)


def straight_through(logits, temperature, seed):
    """Draw one-hot weights that carry the gradient of the relaxed draw.

        weights = one_hot(argmax z) + z - stop_gradient(z),  z relaxed

    The law of the draw is exactly Categorical(softmax(logits)) at every
    temperature; only the gradient is biased.

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: float scalar tensor, above zero.
        seed: int32 tensor, shape (2,).

    Returns:
        Float tensor like `logits`, exactly one-hot.

    Reference:
        Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax",
        2017, https://arxiv.org/abs/1611.01144.
    """
    z = relaxed(logits, temperature, seed)
    return _one_hot_of_largest(z) + (z - ops.stop_gradient(z))


def softmax(logits, temperature, seed):
    """Give the attention weights of DARTS: no noise at all.

        weights = softmax(logits / temperature)

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: float scalar tensor, above zero; 1 is DARTS.
        seed: not used.

    Returns:
        Float tensor like `logits`, positive, summing to one.

    Reference:
        Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019,
        https://arxiv.org/abs/1806.09055.
    """
    del seed
    # keras.ops.softmax warns of a choice with one candidate.
    return tf.nn.softmax(tf.convert_to_tensor(logits) / temperature)


def single_path(logits, temperature, seed):
    """Draw one candidate of each choice; only that one is run and trained.

        weights = one_hot(s) (1 + log p_s - stop_gradient(log p_s))
        s ~ Categorical(p),  p = softmax(logits)

    The weights are exactly one-hot. Their gradient is the score, so that a
    choice's logits get credit times score, with the credit d loss / d weight_s
    of what was run:

        d loss / d logits_j = (d loss / d weights_s) (delta_sj - p_j)

    A supernet built with it costs a step about what a child costs. Batch norms
    of candidates that are rarely drawn have old statistics: recalibrate the
    child's (`recalibrate_batch_norm`).

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: not used; the draw is not relaxed.
        seed: int32 tensor, shape (2,).

    Returns:
        Float tensor like `logits`, exactly one-hot.

    Reference:
        Hu, Xie, Zheng, Liu, Shi, Liu, Lin, "DSNAS: Direct Neural Architecture
        Search without Parameter Retraining", 2020,
        https://arxiv.org/abs/2002.09128.
    """
    del temperature
    logits = tf.convert_to_tensor(logits)
    law = tfp.distributions.OneHotCategorical(logits=logits, dtype=logits.dtype)
    log_p = tf.nn.log_softmax(logits)
    score = log_p - ops.stop_gradient(log_p)
    return law.sample(seed=seed) * (1.0 + score)


def relaxed_log_density(logits, temperature, seed):
    """Give log p(y | logits) of what `relaxed` draws, y = log z held constant.

    The density is taken in log space, where it stays finite at low temperature.
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
    law = tfp.distributions.ExpRelaxedOneHotCategorical(
        temperature, logits=logits
    )
    return law.log_prob(ops.stop_gradient(law.sample(seed=seed)))


def one_hot_log_density(logits, temperature, seed):
    """Give log p(z | logits) of what `straight_through` draws.

        log p(z) = sum_i z_i log softmax(logits)_i

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: float scalar tensor, above zero.
        seed: int32 tensor, shape (2,), the seed of the draw.

    Returns:
        Float tensor, shape (...,).
    """
    z = ops.stop_gradient(straight_through(logits, temperature, seed))
    return ops.sum(z * ops.log_softmax(ops.convert_to_tensor(logits)), axis=-1)


def single_path_log_density(logits, temperature, seed):
    """Give log p(z | logits) of what `single_path` draws.

        log p(z) = sum_i z_i log softmax(logits)_i

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: not used.
        seed: int32 tensor, shape (2,), the seed of the draw.

    Returns:
        Float tensor, shape (...,).
    """
    z = ops.stop_gradient(single_path(logits, temperature, seed))
    return ops.sum(z * tf.nn.log_softmax(tf.convert_to_tensor(logits)), axis=-1)


def fold_seed(seed, step, salt):
    """Mix a seed, a step and a salt into one stateless seed.

    Args:
        seed: int, the user's seed.
        step: int scalar tensor, the training step.
        salt: int, tells apart draws of one step.

    Returns:
        int32 tensor, shape (2,).
    """
    pair = ops.stack([ops.cast(seed % 2**31, "int32"), ops.cast(step, "int32")])
    return tf.random.experimental.stateless_fold_in(pair, salt)


def _one_hot_of_largest(z):
    return ops.one_hot(ops.argmax(z, axis=-1), z.shape[-1], dtype=z.dtype)


ESTIMATORS = {
    "relaxed": relaxed,
    "straight_through": straight_through,
    "softmax": softmax,
    "single_path": single_path,
}

# What the score function needs. An estimator that is missing here draws
# nothing, or from a law whose density is not known.
LOG_DENSITIES = {
    relaxed: relaxed_log_density,
    straight_through: one_hot_log_density,
    single_path: single_path_log_density,
}


def get(estimator):
    """Look an estimator up by name; a callable is returned as it is.

    Args:
        estimator: str, one of `ESTIMATORS`, or a function (logits,
            temperature, seed) -> weights.

    Returns:
        The function.

    Raises:
        ValueError: the name is not known.
    """
    if callable(estimator):
        return estimator
    if estimator not in ESTIMATORS:
        raise ValueError(
            f"There is no such estimator. Received: estimator={estimator!r}. "
            f"Allowed: {sorted(ESTIMATORS)} or a function (logits, "
            "temperature, seed) -> weights."
        )
    return ESTIMATORS[estimator]


def serialize(estimator):
    """Return the estimator's name, or its Keras config if it has none."""
    for name, function in ESTIMATORS.items():
        if function is estimator:
            return name
    return keras.saving.serialize_keras_object(estimator)


def deserialize(config):
    """Return the function that `serialize` described."""
    if isinstance(config, dict):
        return keras.saving.deserialize_keras_object(config)
    return get(config)
