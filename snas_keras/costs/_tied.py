"""Weights that several choices share: of a child they count once.

Where one layer object is a candidate of several choices, a child's cost is no
sum over its choices. The choices are gone through one by one, with the shared
weights that a child has so far; what no later choice shares is forgotten, so
that without shared weights there is nothing to remember.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tied:
    """Weights that several choices share.

    Args:
        cost: float, of these weights.
        users: {choice name: set of int}, the candidates that have them.
    """

    cost: float
    users: Mapping[str, frozenset[int]]

    def surplus(self, indices: Mapping[str, int]) -> float:
        """Return what a sum over the choices counts too much for a child.

        Args:
            indices: {choice name: index of its candidate}.

        Returns:
            float, not negative.
        """
        times = sum(indices[name] in of for name, of in self.users.items())
        return self.cost * max(0, times - 1)

    def expected_surplus(self, probabilities: Any) -> float:
        """Return the mean of the surplus over children.

            cost * (sum_choice q - (1 - prod_choice (1 - q)))

        Args:
            probabilities: {choice name: float, shape (candidates,)}, arrays or
                tensors.

        Returns:
            float or scalar tensor, not negative.
        """
        total, none = 0.0, 1.0
        for name, of in self.users.items():
            share = sum(probabilities[name][index] for index in sorted(of))
            total, none = total + share, none * (1.0 - share)
        return self.cost * (total - 1.0 + none)


def extreme(
    rows: Mapping[str, np.ndarray], tied: Sequence[Tied], sign: float
) -> dict[str, int]:
    """Return the child with the lowest cost, or the highest.

    Args:
        rows: {choice name: cost of each candidate}.
        tied: sequence of Tied.
        sign: float, 1.0 for the lowest, -1.0 for the highest.

    Returns:
        {choice name: index of its candidate}; of several children that with
        the first candidates.
    """
    pick = np.argmin if sign > 0 else np.argmax
    child = {n: int(pick(row)) for n, row in rows.items()}
    for names, group in _groups(rows, tied):
        # {weights so far: (cost, candidates)}
        states: Any = {frozenset(): (0.0, ())}
        for step in _steps(names, rows, group):
            states = _best(states, step, sign)
        _, indices = min(states.values(), key=lambda x: (sign * x[0], x[1]))
        child.update(zip(names, indices, strict=True))
    return child


def _best(states, step, sign):
    best = {}
    for had, (cost, indices) in states.items():
        for index, have, more in step(had):
            new = (cost + more, (*indices, index))
            old = best.get(have)
            if old is None or (sign * new[0], new[1]) < (sign * old[0], old[1]):
                best[have] = new
    return best


def independent(
    rows: Mapping[str, np.ndarray],
    tied: Sequence[Tied],
    probabilities: Any = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return parts of a child's cost that are independent.

    Args:
        rows: {choice name: cost of each candidate}.
        tied: sequence of Tied.
        probabilities: {choice name: float, shape (candidates,)}, default all
            candidates alike.

    Returns:
        list of (costs, probabilities), of each choice, or of all choices that
        share weights together.
    """
    p = {
        name: np.full(len(row), 1.0 / len(row))
        if probabilities is None
        else np.asarray(probabilities[name], "float64")
        for name, row in rows.items()
    }
    groups = _groups(rows, tied)
    joint = {name for names, _ in groups for name in names}
    parts = [(row, p[n]) for n, row in rows.items() if n not in joint]
    for names, group in groups:
        # {weights so far: {cost: probability}}
        states: Any = {frozenset(): {0.0: 1.0}}
        for name, step in zip(names, _steps(names, rows, group), strict=True):
            states = _spread(states, step, p[name])
        merged: dict[float, float] = {}
        for masses in states.values():
            for cost, mass in masses.items():
                merged[cost] = merged.get(cost, 0.0) + mass
        parts.append((np.array([*merged]), np.array([*merged.values()])))
    return parts


def _spread(states, step, probabilities):
    spread = {}
    for had, masses in states.items():
        for index, have, more in step(had):
            target = spread.setdefault(have, {})
            for cost, mass in masses.items():
                added = mass * probabilities[index]
                target[cost + more] = target.get(cost + more, 0.0) + added
    return spread


def _groups(rows, tied):
    """Return (choice names, their Tied) of all that hang together."""
    groups = []
    for one in tied:
        names, members = set(one.users), [one]
        apart = []
        for other in groups:
            if other[0] & names:
                names, members = names | other[0], members + other[1]
            else:
                apart.append(other)
        groups = [*apart, (names, members)]
    return [([n for n in rows if n in g], m) for g, m in groups]


def _steps(names, rows, group):
    """Yield for each choice a function of the weights that a child has.

    It yields (candidate, weights that later choices share, cost to add).
    """
    last = [max(names.index(n) for n in one.users) for one in group]
    for place, name in enumerate(names):
        users = [one.users.get(name, frozenset()) for one in group]
        alive = {t for t, end in enumerate(last) if end > place}

        def step(had, row=rows[name], users=users, alive=alive):
            for index, cost in enumerate(row):
                uses = {t for t, of in enumerate(users) if index in of}
                again = sum(group[t].cost for t in uses & had)
                have = frozenset((had | uses) & alive)
                yield index, have, float(cost) - again

        yield step
