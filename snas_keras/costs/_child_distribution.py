"""The distribution of a sum of independent parts, exact where it can be."""

import math
from collections.abc import Sequence

import numpy as np

Part = tuple[np.ndarray, np.ndarray]

# The longest array that holds the sums of whole units.
_MOST_UNITS = 2_000_000
# Different sums of one half of the parts.
_MOST_SUMS = 100_000
_GRID = 10_000


def probability_within(parts: Sequence[Part], limit: float) -> float:
    """Return the probability that the sum of parts is at most a limit.

    Args:
        parts: sequence of (costs, probabilities), independent of each other.
        limit: float.

    Returns:
        float, from 0 to 1.
    """
    least = [float(costs.min()) for costs, _ in parts]
    parts = [
        (costs - low, p) for (costs, p), low in zip(parts, least, strict=True)
    ]
    room = limit - math.fsum(least)
    unit = _whole_unit(parts)
    if unit:
        return _on_grid(parts, room, unit)
    exact = _by_halves(parts, room)
    if exact is not None:
        return exact
    reach = sum(float(costs.max()) for costs, _ in parts)
    return _on_grid(parts, room, reach / _GRID)


def _whole_unit(parts):
    """Return the largest unit that divides all costs, if it is large enough."""
    costs = np.concatenate([costs for costs, _ in parts])
    if not np.array_equal(costs, np.rint(costs)):
        return None
    unit = float(math.gcd(*(int(cost) for cost in costs))) or 1.0
    reach = sum(float(costs.max()) for costs, _ in parts)
    return unit if reach / unit <= _MOST_UNITS else None


def _on_grid(parts, room, unit):
    mass = np.ones(1)
    for costs, p in parts:
        steps = np.rint(costs / unit).astype(int)
        total = np.zeros(len(mass) + steps.max())
        for step, weight in zip(steps, p, strict=True):
            total[step : step + len(mass)] += weight * mass
        mass = total
    # An integer that a division leaves just short of itself.
    last = math.floor(room / unit + 1e-9)
    return float(min(1.0, mass[: max(0, last + 1)].sum()))


def _by_halves(parts, room):
    """Compare every sum of one half with every sum of the other, or None."""
    order = sorted(range(len(parts)), key=lambda i: len(parts[i][0]))
    halves = [_sums([parts[i] for i in order[k::2]]) for k in (0, 1)]
    if None in halves:
        return None
    (sums, mass), (others, other_mass) = halves
    within = np.concatenate([[0.0], np.cumsum(other_mass)])
    # As generous as the limit: a sum in another order rounds otherwise.
    slack = 1e-12 * (abs(room) + float(sums.max()) + float(others.max()))
    counts = np.searchsorted(others, room - sums + slack, side="right")
    return float(min(1.0, mass @ within[counts]))


def _sums(parts):
    """Return all sums of parts in order, and their probabilities, or None."""
    sums, mass = np.zeros(1), np.ones(1)
    for costs, p in parts:
        if len(sums) * len(costs) > 10 * _MOST_SUMS:
            return None
        sums = (sums[:, None] + costs).ravel()
        sums, place = np.unique(sums, return_inverse=True)
        mass = np.bincount(place, (mass[:, None] * p).ravel())
        if len(sums) > _MOST_SUMS:
            return None
    return sums, mass
