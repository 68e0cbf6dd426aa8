"""The cost of whole children."""

from typing import Any

import keras
import numpy as np

from snas_keras import layers, spaces
from snas_keras._utils import checks
from snas_keras.costs import (
    _child_distribution,
    _cost,
    _network_cost,
    _tied,
)


def cost_table(network: keras.Model, cost: Any) -> dict[str, np.ndarray]:
    """Read the cost of every candidate on every edge.

    An edge that is called several times costs the sum of its calls; a weight
    counts once, on the first edge that has it.

    Args:
        network: functional Keras model with `MixedEdge` layers.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        {choice name: float64 array, shape (edges of the choice, candidates)}.

    Raises:
        TypeError: the cost does not know a candidate's type.
    """
    return _network_cost.read(network, cost).table


def edge_costs(edge: layers.MixedEdge, cost: Any) -> list[float]:
    """Read the cost of every candidate of one built edge, called once.

    Args:
        edge: MixedEdge, built.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        list of float, one for each candidate.

    Raises:
        TypeError: the cost does not know a candidate's type.
        ValueError: a cost is negative or not finite.
    """
    return _network_cost.edge_costs(edge, cost)


class ChildCost:
    """The cost of whole children, read once off a supernet's layers.

        cost(child) = fixed + sum_choice rows[choice][candidate] - shared

    Every call counts; the weights of a layer that is called several times
    count once. `shared` is what several choices of the child have in common,
    where one layer object is a candidate of each: it is zero elsewhere. The
    parts are attributes: `fixed`, `rows` and, of what is shared, `tied`.

    Args:
        supernet: SuperNet.
        cost: str or function (layer, input_shape) -> float.

    Call arguments:
        genotype: Genotype or mapping {choice name: candidate name}.

    Returns:
        float, in the cost's unit, for one example, the fixed part included.

    Raises:
        TypeError: the cost does not know a layer's type; the message names the
            choice and the candidate.
        ValueError: when called: the genotype does not fit.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> cost = ChildCost(snas_keras.build_supernet(space), "parameters")
    >>> cost.minimum <= cost(space.random_genotype(0)) <= cost.maximum
    True
    >>> cost(cost.cheapest) == cost.minimum
    True
    """

    tied: tuple[_tied.Tied, ...] = ()

    def __init__(self, supernet: Any, cost: Any):
        self.name = _cost.cost_name(cost)
        self.choices = checks.check_supernet(supernet).architecture.choices
        network_cost = _network_cost.read(supernet.network, cost)
        self.fixed = network_cost.fixed
        self.tied = network_cost.tied
        # A choice whose output leads nowhere costs nothing.
        self.rows = {
            name: np.zeros(len(candidates))
            for name, candidates in self.choices.items()
        }
        for name, edges in network_cost.table.items():
            self.rows[name] = edges.sum(0)

    def __call__(self, genotype: Any) -> float:
        genotype = spaces.Genotype(genotype).check(self.choices)
        return self._of(
            {
                name: self.choices[name].index(genotype[name])
                for name in self.rows
            }
        )

    def _of(self, indices):
        """Return the cost of the child with these candidates."""
        total = self.fixed + sum(
            float(row[indices[name]]) for name, row in self.rows.items()
        )
        return total - sum(tied.surplus(indices) for tied in self.tied)

    @property
    def cheapest(self) -> spaces.Genotype:
        """Return the cheapest child; of several that of first candidates."""
        return self._genotype(_tied.extreme(self.rows, self.tied, 1.0))

    @property
    def dearest(self) -> spaces.Genotype:
        """Return the most expensive child; of several as for `cheapest`."""
        return self._genotype(_tied.extreme(self.rows, self.tied, -1.0))

    def _genotype(self, indices):
        return spaces.Genotype(
            {name: self.choices[name][i] for name, i in indices.items()}
        )

    @property
    def minimum(self) -> float:
        """Return the cost of the cheapest child."""
        return self._of(_tied.extreme(self.rows, self.tied, 1.0))

    @property
    def maximum(self) -> float:
        """Return the cost of the most expensive child."""
        return self._of(_tied.extreme(self.rows, self.tied, -1.0))

    def probability_within(
        self, limit: float, probabilities: Any = None
    ) -> float:
        """Return the probability that a child costs no more than a limit.

        The distribution of the sum is the convolution of those of the choices.
        It is exact for costs in whole units, such as parameters and
        multiply-adds, whose range is at most two million units, and for all
        costs of spaces with few different sums (two halves of the choices with
        a hundred thousand each); others are rounded to a ten-thousandth of the
        range between the cheapest and the most expensive child. Whether a
        limit is below the one or at the other is exact always.

        Args:
            limit: float, in the cost's unit.
            probabilities: {choice name: float, shape (candidates,)}, default
                all candidates alike: the share of the space's children.

        Returns:
            float, from 0 to 1.
        """
        # A child that costs the limit but for the rounding of a sum is within.
        limit = limit + 1e-12 * abs(limit)
        if limit < self.minimum:
            return 0.0
        if limit >= self.maximum:
            return 1.0
        parts = _tied.independent(self.rows, self.tied, probabilities)
        room = limit - self.fixed
        return _child_distribution.probability_within(parts, room)

    def expected(self, probabilities: Any) -> float:
        """Return the mean over children whose choices are independent.

        Args:
            probabilities: {choice name: float, shape (candidates,)}.

        Returns:
            float.
        """
        total = self.fixed + sum(
            float(np.dot(row, probabilities[name]))
            for name, row in self.rows.items()
        )
        shared = sum(t.expected_surplus(probabilities) for t in self.tied)
        return total - float(shared)
