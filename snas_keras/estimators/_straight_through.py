"""One-hot draws with the gradient of the relaxed draws."""

from keras import ops

from snas_keras.estimators import _estimator, _relaxed


def _sample(logits, temperature, seed):
    """Draw one-hot weights with the gradient of the relaxed draw.

        weights = one_hot(argmax z) + z - stop_gradient(z),  z relaxed

    The distribution of the draw is exactly Categorical(softmax(logits)) at
    every temperature; only the gradient is biased.

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
    z = _relaxed.relaxed(logits, temperature, seed)
    return _estimator.one_hot_of_largest(z) + (z - ops.stop_gradient(z))


def _log_density(logits, temperature, seed):
    z = _sample(logits, temperature, seed)
    return _estimator.one_hot_log_density(logits, z)


straight_through = _estimator.Estimator(_sample, _log_density)
