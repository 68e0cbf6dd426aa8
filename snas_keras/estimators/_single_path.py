"""One drawn candidate of each choice, run and trained alone."""

import tensorflow as tf
from keras import ops

from snas_keras.estimators import _estimator


def _sample(logits, temperature, seed):
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
    noisy = logits + _estimator.gumbel(logits, seed)
    log_p = tf.nn.log_softmax(logits)
    score = log_p - ops.stop_gradient(log_p)
    return _estimator.one_hot_of_largest(noisy) * (1.0 + score)


def _log_density(logits, temperature, seed):
    z = _sample(logits, temperature, seed)
    return _estimator.one_hot_log_density(logits, z)


single_path = _estimator.Estimator(_sample, _log_density, runs_one_path=True)
