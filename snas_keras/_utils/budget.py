"""Upper limits on costs, with one rounding tolerance for all."""

import collections.abc
import math
import re
import typing

import numpy as np

# Costs are sums of floats: a billionth above a limit is rounding.
ROUNDING = 1e-9


def is_within(cost: typing.Any, limit: float) -> typing.Any:
    """Return whether a cost is within its limit, up to rounding.

        cost <= limit (1 + 1e-9)

    Args:
        cost: float, array or tensor, in the unit of `limit`. NaN is not within.
        limit: float.

    Returns:
        bool, or a bool array or tensor of the shape of `cost`.

    Example:

    >>> is_within(0.1 + 0.2, 0.3), is_within(float("nan"), 0.3)
    (True, False)
    """
    return cost <= limit + abs(limit) * ROUNDING


def check_limit(limit: float | str, name: str = "limit") -> float | str:
    """Validate a limit: a number, or the str of a percentage.

    Args:
        limit: float above zero, or str such as "60%".
        name: str, the argument's name for the message, default "limit".

    Returns:
        float, or str.

    Raises:
        ValueError: `limit` is neither.
    """
    if isinstance(limit, str):
        percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", limit)
        is_limit = percent and 0.0 < float(percent[1]) <= 100.0
    elif limit is None or isinstance(limit, bool) or np.ndim(limit):
        is_limit = False
    else:
        limit = float(limit)
        is_limit = 0.0 < limit < math.inf
    if not is_limit:
        raise ValueError(
            f"`{name}` must be positive and finite, or a percentage of the "
            f'most expensive child such as "60%". Received: {name}={limit!r}'
        )
    return limit


def in_units(limit: float | str, most_expensive: float) -> float:
    """Convert a limit to the unit of its cost.

    Args:
        limit: float, or a percentage of the most expensive child such as "60%".
        most_expensive: float, cost of the most expensive child.

    Returns:
        float.

    Example:

    >>> in_units("60%", 200.0), in_units(90.0, 200.0)
    (120.0, 90.0)
    """
    if isinstance(limit, str):
        return float(limit.rstrip("% ")) / 100.0 * most_expensive
    return limit


class Budget(collections.abc.Mapping):
    """Upper limits on costs: a mapping {cost name: limit}.

    Rewards and the tuner's oracles share it. A cost is within its limit up to a
    relative rounding error of 1e-9. NaN is within no limit.

    Args:
        limits: mapping of str to float or str, {cost name: limit}. A limit is
            positive and finite, in the cost's unit; or a percentage of the most
            expensive child, such as "60%".

    Raises:
        ValueError: a limit is not positive and finite, nor a percentage.

    Example:

    >>> budget = Budget({"flops": 1e6, "parameters": 500})
    >>> budget.is_within({"flops": 1e6, "parameters": 400})
    True
    >>> budget.excess({"flops": 1.5e6, "parameters": 400})
    {'flops': 0.5, 'parameters': 0.0}
    """

    def __init__(self, limits: collections.abc.Mapping):
        self._limits = {n: check_limit(v, n) for n, v in dict(limits).items()}

    def __getitem__(self, name: str) -> float | str:
        return self._limits[name]

    def __iter__(self) -> collections.abc.Iterator[str]:
        return iter(self._limits)

    def __len__(self) -> int:
        return len(self._limits)

    def __repr__(self) -> str:
        return f"Budget({self._limits!r})"

    @property
    def percentages(self) -> list[str]:
        """The names of the costs whose limits are percentages."""
        return [n for n, v in self._limits.items() if isinstance(v, str)]

    def resolve(self, costs: collections.abc.Mapping) -> "Budget":
        """Convert percentages to the costs' units, and validate the limits.

        Args:
            costs: mapping {cost name: `ChildCost`}.

        Returns:
            Budget without percentages.

        Raises:
            ValueError: a limit without its cost, or below the cheapest child.
        """
        unknown = sorted(set(self) - set(costs))
        if unknown:
            raise ValueError(
                f"Every limit of the budget needs a cost. Missing: {unknown}. "
                f"Received: costs={sorted(costs)}"
            )
        resolved = {
            name: in_units(limit, costs[name].maximum)
            for name, limit in self.items()
        }
        for name, limit in resolved.items():
            if not is_within(costs[name].minimum, limit):
                raise ValueError(
                    f"No child is within the limit of {name!r}. The cheapest "
                    f"costs {costs[name].minimum:,}. Received: limit={limit:,}"
                )
        return Budget(resolved)

    def is_within(self, costs: collections.abc.Mapping) -> bool:
        """Return whether every cost is within its limit.

        Args:
            costs: mapping {cost name: float}; names outside the budget are
                ignored.

        Returns:
            bool.

        Raises:
            ValueError: a limit is a percentage.
        """
        self._check_resolved()
        return all(is_within(costs[n], v) for n, v in self.items())

    def excess(self, costs: collections.abc.Mapping) -> dict[str, float]:
        """Return the relative excess of every cost over its limit.

            max(0, cost / limit - 1), and 0 where the cost is within

        Args:
            costs: mapping {cost name: float}.

        Returns:
            {cost name: float}, NaN where the cost is NaN.

        Raises:
            ValueError: a limit is a percentage.
        """
        self._check_resolved()
        return {
            n: 0.0 if is_within(costs[n], v) else float(costs[n] / v - 1.0)
            for n, v in self.items()
        }

    def _check_resolved(self):
        if self.percentages:
            raise ValueError(
                f"The limits of {self.percentages} are percentages: "
                "`budget.resolve(costs)` gives them in units. Received: "
                f"{self!r}"
            )
