"""Resource penalties: what the logits pay for dear candidates."""

import math
import re

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from snas_keras import layer_costs, layers, spaces
from snas_keras._utils import checks

FORMS = ("linear", "log")
ESTIMATORS = ("expected", "sample", "score_function")


@keras.saving.register_keras_serializable(package="snas_keras")
class Resource:
    """A penalty on a cost of the child network.

    With c[e, k] the cost of candidate k on edge e and w the weights of the
    choices:

        linear:  weight * sum_e sum_k w_k c[e, k] / (cost of the dearest child)
        log:     weight * sum_choice mean_(e of choice) log(sum_k w_k c[e, k])

    The linear form lies between 0 and `weight`, whatever the unit of the cost.
    The log form is the paper's code's: its three costs are three resources, a
    third of the weight each; an edge whose cost is below one counts as one.

    What w is, the estimator says: "expected" takes the probabilities, which is
    exact and has no noise; "sample" the draw of the step, with the gradient
    through it; "score_function" the draw held constant, times the score of its
    density, for costs that no gradient should flow through.

    Args:
        cost: str or function (layer, input_shape) -> float, one of
            `snas_keras.COSTS`.
        weight: float, not negative, in units of the task loss (nats for a
            cross-entropy). Under a limit it is where the weight begins, default
            0.1.
        form: str, "linear" or "log", default "linear".
        estimator: str, "expected", "sample" or "score_function", default
            "expected".
        name: str, in the logs, default the cost's name.
        limit: float, in the cost's unit, or str such as "60%", of the dearest
            child: what a child may cost, its fixed part included. The weight
            then rises and falls until the child keeps it. Default None.
        rate: float, how fast the weight moves under a limit: by at most this
            share a step, default 0.02.

    Raises:
        ValueError: an argument is not among the allowed ones, or there is
            neither a weight nor a limit.

    Example:

    >>> Resource("flops", weight=0.5)
    Resource('flops', weight=0.5, form='linear', estimator='expected')
    """

    def __init__(
        self,
        cost,
        weight=None,
        form="linear",
        estimator="expected",
        name=None,
        limit=None,
        rate=0.02,
    ):
        self.cost = layer_costs.get(cost)
        self.limit = _check_limit(limit)
        self.weight = _check_weight(weight, limit)
        self.rate = _check_rate(rate)
        self.form = checks.one_of("form", form, FORMS)
        self.estimator = checks.one_of("estimator", estimator, ESTIMATORS)
        self.name = name or _cost_name(cost)

    def get_config(self):
        return {
            "cost": _serialize_cost(self.cost),
            "weight": self.weight,
            "form": self.form,
            "estimator": self.estimator,
            "name": self.name,
            "limit": self.limit,
            "rate": self.rate,
        }

    @classmethod
    def from_config(cls, config):
        cost = config["cost"]
        if isinstance(cost, dict):
            cost = keras.saving.deserialize_keras_object(cost)
        return cls(**{**config, "cost": cost})

    def __repr__(self):
        limit = f", limit={self.limit!r}" if self.limit is not None else ""
        return (
            f"Resource({self.name!r}, weight={self.weight}, "
            f"form={self.form!r}, estimator={self.estimator!r}{limit})"
        )


class ResourceLoss:
    """A Resource bound to the edges of one supernet.

    Args:
        resource: Resource.
        network: functional Keras model with `MixedEdge` layers.

    Raises:
        TypeError: the cost does not know a candidate's type.
        ValueError: no candidate costs anything.
    """

    def __init__(self, resource, network):
        self.resource = resource
        table = cost_table(network, resource.cost)
        self.choices = list(table)
        self.dearest = sum(t.sum(0).max() for t in table.values())
        if self.dearest <= 0:
            raise ValueError(
                f"No candidate of the supernet has a cost {resource.name!r} "
                "above zero."
            )
        # Rows of all edges, and the mean over the edges of each choice.
        self.costs = _block_diagonal(table.values())
        self.means = _block_diagonal(
            np.full((1, len(t)), 1.0 / len(t)) for t in table.values()
        )
        # A row for each choice.
        self.shares = _block_diagonal(
            t.sum(0, keepdims=True) / self.dearest for t in table.values()
        )

    def expected_cost(self, probabilities):
        """Return the expected cost of a child's edges, in the cost's unit.

            sum_e sum_k p_k c[e, k]

        Args:
            probabilities: {choice name: tensor, shape (candidates,)}.

        Returns:
            float32 scalar tensor.
        """
        return ops.sum(self._linear(probabilities)) * self.dearest

    def __call__(self, architecture, z, step, weight=None):
        """Return the penalty of one training step.

        Args:
            architecture: Architecture.
            z: {choice name: tensor}, the draw of the step.
            step: int scalar tensor.
            weight: float scalar tensor, default the resource's own.

        Returns:
            float32 scalar tensor.
        """
        weight = self.resource.weight if weight is None else weight
        if self.resource.estimator == "score_function":
            return weight * self._score_function(architecture, z, step)
        expected = self.resource.estimator == "expected"
        weights = architecture.probabilities() if expected else z
        return weight * ops.sum(self._by_choice(weights))

    def _score_function(self, architecture, z, step):
        """Value: the draw's penalty. Gradient: its excess times the score.

        The excess over the penalty of the probabilities has less variance than
        the penalty and, as the score's mean is zero, the same mean gradient.
        """
        density = architecture.log_density(step)
        density = ops.stack([density[name] for name in self.choices])
        penalty = ops.stop_gradient(self._by_choice(z))
        baseline = self._by_choice(architecture.probabilities())
        excess = penalty - ops.stop_gradient(baseline)
        score = density - ops.stop_gradient(density)
        return ops.sum(penalty + excess * score)

    def _by_choice(self, weights):
        """Return the penalties of all choices, shape (choices,)."""
        return (self._log if self.resource.form == "log" else self._linear)(
            weights
        )

    def _linear(self, weights):
        return self._times(self.shares, weights)

    def _log(self, weights):
        edge_costs = ops.maximum(self._times(self.costs, weights), 1.0)
        return tf.linalg.matvec(
            tf.constant(self.means, "float32"), ops.log(edge_costs)
        )

    def _times(self, matrix, weights):
        weights = ops.concatenate([weights[name] for name in self.choices])
        return tf.linalg.matvec(tf.constant(matrix, "float32"), weights)


def _block_diagonal(blocks):
    blocks = list(blocks)
    whole = np.zeros(np.sum([block.shape for block in blocks], axis=0))
    row = column = 0
    for block in blocks:
        rows, columns = block.shape
        whole[row : row + rows, column : column + columns] = block
        row, column = row + rows, column + columns
    return whole


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
    function = layer_costs.get(cost)
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
        self.name = _cost_name(cost)
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
    function = layer_costs.get(cost)
    return sum(
        function(layer, shape)
        for layer, shape in layer_costs.model_calls(network)
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


def check_resources(resource, architecture):
    """Return a list of Resource, or refuse what cannot be that.

    Args:
        resource: None, Resource or sequence of Resource.
        architecture: Architecture they are for.

    Returns:
        list of Resource.

    Raises:
        TypeError: an entry is not a Resource.
        ValueError: two have one name, or a score function has no density.
    """
    if resource is None:
        return []
    found = resource if isinstance(resource, (list, tuple)) else [resource]
    for entry in found:
        if not isinstance(entry, Resource):
            raise TypeError(
                "`resource` must be a Resource or a list of them. Received: "
                f"{entry!r}"
            )
        if entry.estimator == "score_function":
            architecture.score_function()
    names = [entry.name for entry in found]
    if len(set(names)) < len(names):
        raise ValueError(
            "Every resource needs a name of its own; give `name=`. Received: "
            f"{names}"
        )
    return list(found)


def _check_weight(weight, limit):
    if weight is None and limit is not None:
        return 0.1
    is_number = weight is not None and 0 <= float(weight) < float("inf")
    if not is_number or (limit is not None and weight == 0):
        raise ValueError(
            "`weight` must be finite and not negative, and above zero under a "
            f"limit. Received: weight={weight}"
        )
    return float(weight)


def _check_limit(limit):
    if limit is None:
        return None
    if isinstance(limit, str):
        percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", limit)
        is_limit = percent and 0.0 < float(percent[1]) <= 100.0
    else:
        limit = float(limit)
        is_limit = 0.0 < limit < float("inf")
    if not is_limit:
        raise ValueError(
            "`limit` must be positive and finite, or a percentage of the "
            f'dearest child such as "60%". Received: limit={limit!r}'
        )
    return limit


def _check_rate(rate):
    if not 0.0 < float(rate) <= 1.0:
        raise ValueError(
            f"`rate` must be above 0 and at most 1. Received: rate={rate}"
        )
    return float(rate)


def _cost_name(cost):
    if isinstance(cost, str):
        return cost
    # A partial or an object that can be called has no name of its own.
    return getattr(cost, "__name__", type(cost).__name__)


def _serialize_cost(cost):
    for name, function in layer_costs.COSTS.items():
        if function is cost:
            return name
    return keras.saving.serialize_keras_object(cost)
