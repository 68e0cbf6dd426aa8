"""Scalar rewards of several metrics."""

import math
from collections.abc import Callable, Iterable, Mapping

from snas_keras._utils import budget as budget_lib

Reward = Callable[[Mapping[str, float]], float]


def weighted(
    weights: Mapping[str, float], scales: Mapping[str, float] | None = None
) -> Reward:
    """Make the reward sum_i weight_i metric_i / scale_i.

    Metrics of different units need scales: an accuracy lies in [0, 1],
    multiply-adds in the millions. The cost of the most expensive child is a
    good scale.

    Args:
        weights: mapping of str to float, {metric: weight}; negative for a cost.
        scales: mapping of str to float above zero, default 1 for each.

    Returns:
        Function {metric: float} -> float, the larger the better.

    Raises:
        ValueError: no weights, or scales that do not fit; when called: a metric
            is missing.

    Example:

    >>> reward = weighted({"accuracy": 1.0, "flops": -0.5}, {"flops": 1e6})
    >>> reward({"accuracy": 0.9, "flops": 400_000})
    0.7

    Reference:
        Hsu et al., "MONAS: Multi-Objective Neural Architecture Search using
        Reinforcement Learning", 2018, https://arxiv.org/abs/1806.10332.
    """
    scales = dict(scales or {})
    if not weights or not set(scales) <= set(weights):
        raise ValueError(
            "There must be a weight for every scale. Received: weights="
            f"{dict(weights or {})}, scales={scales}"
        )
    if any(not 0.0 < scale < math.inf for scale in scales.values()):
        raise ValueError(
            f"Scales must be positive and finite. Received: scales={scales}"
        )

    def reward(metrics):
        check_metrics(metrics, weights)
        return float(
            sum(w * metrics[m] / scales.get(m, 1.0) for m, w in weights.items())
        )

    return reward


def constrained(
    gain: str, limits: Mapping[str, float], slope: float = 0.0
) -> Reward:
    """Make the reward: the gain within all limits, else nothing or less.

        R = gain                                   if every cost <= its limit
        R = -slope sum_i max(0, cost_i / limit_i - 1)          otherwise

    With slope 0 the constraint is hard; where hardly any child is within the
    limits nothing can then be learned, and a positive slope shows the way. A
    cost that is NaN, such as a measurement that failed, makes the reward NaN:
    an oracle learns nothing from it.

    Args:
        gain: str, the metric to maximize, above zero.
        limits: mapping of str to float above zero, {cost: limit}, or a
            `Budget` without percentages.
        slope: float, default 0.0.

    Returns:
        Function {metric: float} -> float, the larger the better.

    Raises:
        ValueError: no limits, or one that is none, or a negative slope; when
            called: a metric is missing.

    Example:

    >>> reward = constrained("accuracy", {"flops": 100.0}, slope=1.0)
    >>> reward({"accuracy": 0.9, "flops": 100.0})
    0.9
    >>> reward({"accuracy": 0.9, "flops": 150.0})
    -0.5

    Reference:
        Hsu et al., "MONAS: Multi-Objective Neural Architecture Search using
        Reinforcement Learning", 2018, https://arxiv.org/abs/1806.10332.
    """
    budget = budget_lib.Budget(limits)
    if not budget or budget.percentages:
        raise ValueError(
            "There must be limits, in units of the costs "
            "(`Budget.resolve` turns percentages into them). Received: limits="
            f"{dict(limits)}"
        )
    if not 0.0 <= slope < math.inf:
        raise ValueError(
            f"`slope` must not be negative. Received: slope={slope}"
        )

    def reward(metrics):
        check_metrics(metrics, [gain, *budget])
        excess = sum(budget.excess(metrics).values())
        if excess == 0.0:
            return float(metrics[gain])
        if math.isnan(excess):
            return math.nan
        return -slope * excess if slope else 0.0

    return reward


def check_metrics(metrics: Mapping[str, float], names: Iterable[str]) -> None:
    """Raise ValueError if one of the metrics is missing.

    Args:
        metrics: {metric name: value}.
        names: iterable of str, the metrics that are needed.
    """
    missing = sorted(set(names) - set(metrics))
    if missing:
        raise ValueError(
            f"The reward needs the metrics {missing}. There are: "
            f"{sorted(metrics)}"
        )
