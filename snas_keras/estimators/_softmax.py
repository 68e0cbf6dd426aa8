"""Deterministic attention weights."""

import tensorflow as tf

from snas_keras.estimators import _estimator


def _sample(logits, temperature, seed):
    """Return the attention weights of DARTS, without noise.

        weights = softmax(logits / temperature)

    Args:
        logits: float tensor, shape (..., candidates).
        temperature: float scalar tensor, above zero; 1 is DARTS.
        seed: unused.

    Returns:
        Float tensor like `logits`, positive, summing to one.

    Reference:
        Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019,
        https://arxiv.org/abs/1806.09055.
    """
    del seed
    # keras.ops.softmax warns of a choice with one candidate.
    return tf.nn.softmax(tf.convert_to_tensor(logits) / temperature)


softmax = _estimator.Estimator(_sample)
