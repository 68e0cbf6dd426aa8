"""One-hot draws of which only the drawn candidate is run and trained."""

import tensorflow as tf
from keras import ops

from snas_keras.estimators import _estimator


def _sample(logits, temperature, seed):
    """Draw one-hot weights; only the drawn candidate is run and trained.

        weights = one_hot(s) (1 + log p_s - stop_gradient(log p_s))
        s ~ Categorical(p),  p = softmax(logits)

    The weights are exactly one-hot. Their gradient is the score, so that the
    gradient of a choice's logits is the credit d loss / d weight_s of the drawn
    candidate times the score:

        d loss / d logits_j = (d loss / d weights_s) (delta_sj - p_j)

    A step of the supernet costs about as much as a step of a child. Batch norms
    of rarely drawn candidates have outdated statistics: recalibrate those of
    the child (`recalibrate_batch_norm`).

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: unused; the draw is not relaxed.
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
    noisy = logits + _estimator.gumbel(logits, seed)
    log_p = tf.nn.log_softmax(logits)
    score = log_p - ops.stop_gradient(log_p)
    return _estimator.one_hot_of_largest(noisy) * (1.0 + score)


def _log_density(logits, temperature, seed):
    z = _sample(logits, temperature, seed)
    return _estimator.one_hot_log_density(logits, z)


single_path = _estimator.Estimator(_sample, _log_density, runs_one_path=True)
