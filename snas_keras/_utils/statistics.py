"""Rank statistics."""

import math
from collections.abc import Sequence

import numpy as np


def rank_correlation(
    predicted: Sequence[float], measured: Sequence[float]
) -> float:
    """Return Spearman's rank correlation; equal numbers share their mean rank.

    Args:
        predicted: sequence of float.
        measured: sequence of float, as long.

    Returns:
        float from -1 to 1, or nan where all of one sequence are equal.

    Example:

    >>> rank_correlation([1, 2, 3], [10, 30, 20])
    0.5
    """
    ranks = np.array([_ranks(predicted), _ranks(measured)])
    ranks -= ranks.mean(1, keepdims=True)
    scale = math.sqrt(math.prod((ranks**2).sum(1)))
    return float(ranks[0] @ ranks[1] / scale) if scale else math.nan


def _ranks(values):
    values = np.asarray(values, "float64")
    below = (values[:, None] > values).sum(1)
    equal = (values[:, None] == values).sum(1)
    return below + (equal + 1) / 2
