"""The cost of whole children."""

import math

import numpy as np

from snas_keras import layers, spaces
from snas_keras.costs import _counted


def cost_table(network, cost):
    """Read the cost of every candidate on every edge.

    Args:
        network: functional Keras model with `MixedEdge` layers.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        {choice name: float64 array, shape (edges of the choice, candidates)}.

    Raises:
        TypeError: the cost does not know a candidate's type.
    """
    rows = {}
    for edge in layers.mixed_edges(network):
        rows.setdefault(edge.choice, []).append(edge_costs(edge, cost))
    return {name: np.array(values) for name, values in rows.items()}


def edge_costs(edge, cost):
    """Read the cost of every candidate of one built edge.

    Args:
        edge: MixedEdge, built.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        list of float, one for each candidate.

    Raises:
        ValueError: a cost is negative or not finite.
    """
    function = _counted.get(cost)
    values = [
        float(function(layer, edge.candidate_input_shape))
        for layer in edge.candidates.values()
    ]
    for name, value in zip(edge.candidates, values, strict=True):
        if not 0 <= value < float("inf"):
            raise ValueError(
                "A cost must be finite and not negative. Received: "
                f"{value} for candidate {name!r} of choice {edge.choice!r}"
            )
    return values


class ChildCost:
    """The cost of whole children, read once off a supernet's layers.

        cost(child) = fixed + sum_choice rows[choice][candidate]

    Args:
        supernet: SuperNet.
        cost: str or function (layer, input_shape) -> float.

    Call arguments:
        genotype: Genotype or mapping {choice name: candidate name}.

    Returns:
        float, in the cost's unit, for one example, the fixed part included.

    Raises:
        TypeError: the cost does not know a layer's type.
        ValueError: when called: the genotype does not fit.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> cost = ChildCost(snas_keras.build_supernet(space), "parameters")
    >>> cost.minimum <= cost(space.random_genotype(0)) <= cost.maximum
    True
    """

    def __init__(self, supernet, cost):
        self.name = cost_name(cost)
        self.choices = supernet.architecture.choices
        self.fixed = fixed_cost(supernet.network, cost)
        self.rows = {
            name: edges.sum(0)
            for name, edges in cost_table(supernet.network, cost).items()
        }

    def __call__(self, genotype):
        genotype = spaces.Genotype(genotype).check(self.choices)
        return self.fixed + sum(
            float(row[self.choices[name].index(genotype[name])])
            for name, row in self.rows.items()
        )

    @property
    def minimum(self):
        """Return the cost of the cheapest child."""
        return self.fixed + sum(float(row.min()) for row in self.rows.values())

    @property
    def maximum(self):
        """Return the cost of the dearest child."""
        return self.fixed + sum(float(row.max()) for row in self.rows.values())

    def probability_within(self, limit, probabilities=None):
        """Return the probability that a child costs no more than a limit.

        The distribution of the sum is the convolution of those of the choices.
        It is exact for costs in whole units, such as parameters and
        multiply-adds; others are rounded to a ten-thousandth of the range
        between the cheapest and the dearest child.

        Args:
            limit: float, in the cost's unit.
            probabilities: {choice name: float, shape (candidates,)}, default
                all candidates alike: the share of the space's children.

        Returns:
            float, from 0 to 1.
        """
        rows = {n: row - row.min() for n, row in self.rows.items()}
        unit = _common_unit(rows.values())
        mass = np.ones(1)
        for name, row in rows.items():
            steps = np.rint(row / unit).astype(int)
            p = np.full(len(row), 1.0 / len(row))
            if probabilities is not None:
                p = np.asarray(probabilities[name], "float64")
            total = np.zeros(len(mass) + steps.max())
            for step, weight in zip(steps, p, strict=True):
                total[step : step + len(mass)] += weight * mass
            mass = total
        room = math.floor((limit - self.minimum) / unit + 1e-6)
        return float(min(1.0, mass[: max(0, room + 1)].sum()))

    def expected(self, probabilities):
        """Return the mean over children whose choices are independent.

        Args:
            probabilities: {choice name: float, shape (candidates,)}.

        Returns:
            float.
        """
        return self.fixed + sum(
            float(np.dot(row, probabilities[name]))
            for name, row in self.rows.items()
        )


def _common_unit(rows, steps=10_000, most=2_000_000):
    """Return the largest unit of which all costs are multiples, or a grid's."""
    rows = list(rows)
    reach = sum(float(row.max()) for row in rows)
    values = np.concatenate(rows)
    if np.array_equal(values, np.rint(values)):
        unit = float(math.gcd(*(int(v) for v in values))) or 1.0
        if reach / unit <= most:
            return unit
    return reach / steps or 1.0


def child_cost(supernet, genotype, cost):
    """Give the cost of one child network; `ChildCost` gives that of many.

    Args:
        supernet: SuperNet.
        genotype: Genotype or mapping {choice name: candidate name}.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        float, in the cost's unit, for one example, the fixed part included.

    Raises:
        ValueError: the genotype does not fit the supernet.
        TypeError: the cost does not know a layer's type.
    """
    return ChildCost(supernet, cost)(genotype)


def fixed_cost(network, cost):
    """Give the cost of all layers of a network that are no mixed edge."""
    function = _counted.get(cost)
    return sum(
        function(layer, shape)
        for layer, shape in _counted.model_calls(network)
        if not isinstance(layer, layers.MixedEdge)
    )


def dearest_genotype(supernet, cost):
    """Return the genotype of the child with the highest cost.

    Args:
        supernet: SuperNet.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        {choice name: candidate name}.
    """
    table = cost_table(supernet.network, cost)
    return {
        name: candidates[int(table[name].sum(0).argmax())]
        for name, candidates in supernet.architecture.choices.items()
    }


def cost_name(cost):
    if isinstance(cost, str):
        return cost
    # A partial or an object that can be called has no name of its own.
    return getattr(cost, "__name__", type(cost).__name__)
