"""Rank statistics."""

from collections.abc import Sequence

import numpy as np


def rank_correlation(
    predicted: Sequence[float], measured: Sequence[float]
) -> float:
    """Return Spearman's rank correlation; equal values get their mean rank.

    Args:
        predicted: sequence of float.
        measured: sequence of float, of the same length.

    Returns:
        float from -1 to 1, or NaN if one of the sequences is constant.

    Raises:
        ModuleNotFoundError: SciPy is missing; the message names the extra.

    Example:

    >>> rank_correlation([1, 2, 3], [10, 30, 20])
    0.5
    """
    if len(set(predicted)) < 2 or len(set(measured)) < 2:
        return np.nan  # As SciPy returns it, without its warning.
    return float(_stats().spearmanr(predicted, measured).statistic)


def _stats():
    try:
        from scipy import stats
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The rank correlation needs SciPy. Install the extra: pip install "
            "snas-keras[reports]"
        ) from error
    return stats
