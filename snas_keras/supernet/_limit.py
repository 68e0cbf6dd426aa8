"""Resource constraints by a Lagrange multiplier, and the child within them."""

import logging
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from snas_keras._utils import budget
from snas_keras._utils import text as text_lib

_LOGGER = logging.getLogger("snas_keras")
# How much more a step pays while it is above the limit, and less below, by at
# most e^3 either way; it damps the weight, which would swing otherwise.
_GAIN = 50.0
_SWING = 3.0
# A tenth of the scale off the aim already moves the weight at full rate.
_STEEP = 10.0
# The weight falls more slowly than it rises.
_FALL = 0.4
# How far below the limit is aimed, as a share of the scale.
_MARGIN = 0.01
# The weight stays within this factor of where it began.
_REACH = 1e4
# What a child pays for its cost, nats a scale, until it is within the limits.
_PRICES = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 255)])


def mode_within(architecture: Any, limits: Any) -> dict[str, Any]:
    """Return the mode, or where it costs too much a likely child within limits.

    Candidates pay a price for their cost, the least at which the child that is
    then the likeliest is within every limit:

        argmax_k logits_k - price * sum_limit cost_k / scale

    At price zero it is the mode, at the last price the cheapest child. Then,
    as long as there is room, the choice that gains most takes a likelier
    candidate that still fits. With one limit the child is always within it;
    of several, the cheapest children that can be had this way may keep only
    some.

    Args:
        architecture: Architecture.
        limits: list of Limit or None.

    Returns:
        {choice name: float32 tensor, shape (candidates,), one-hot}.
    """
    limits = [limit for limit in limits if limit]
    if not limits:
        return architecture.mode()
    table = _Table(architecture, limits)
    return table.by_name(table.filled(table.cheapest_price()))


class _Table:
    """All choices as rows of one table, padded to the longest.

    Args:
        architecture: Architecture.
        limits: list of Limit, at least one.
    """

    def __init__(self, architecture, limits):
        self.sizes = {n: len(c) for n, c in architecture.choices.items()}
        self.width = max(self.sizes.values())
        logits = [self._padded(architecture.logits[n], n) for n in self.sizes]
        # Float64: at a high price the costs of small candidates count too.
        self.logits = tf.stack(logits)
        self.costs = np.stack(
            [[self._row(x, name) for name in self.sizes] for x in limits]
        )
        room = [limit.value * (1.0 + budget.ROUNDING) for limit in limits]
        self.room = np.subtract(room, [limit.cost.fixed for limit in limits])
        self.limits = limits
        scales = np.array([limit.scale for limit in limits])
        self.charges = (self.costs / scales[:, None, None]).sum(0)

    def _padded(self, logits, name):
        logits = tf.cast(tf.convert_to_tensor(logits), "float64")
        missing = self.width - self.sizes[name]
        return tf.pad(logits, [[0, missing]], constant_values=-np.inf)

    def _row(self, limit, name):
        row = np.asarray(limit.cost.rows[name], "float64")
        return np.pad(row, (0, self.width - len(row)))

    def _one_hot(self, scores):
        return tf.one_hot(tf.argmax(scores, -1), self.width, dtype=tf.float64)

    def _is_within(self, chosen):
        """Return whether children are within all limits, shape (...,)."""
        spent = tf.einsum("...nk,lnk->...l", chosen, tf.constant(self.costs))
        spent -= tf.stack([self._shared(x, chosen) for x in self.limits], -1)
        return tf.reduce_all(spent <= self.room, -1)

    def _shared(self, limit, chosen):
        """Return what several choices of children share, shape (...,)."""
        total = tf.zeros(tf.shape(chosen)[:-2], "float64")
        for tied in limit.cost.tied:
            users = np.zeros((len(self.sizes), self.width))
            for row, name in enumerate(self.sizes):
                users[row, list(tied.users.get(name, ()))] = 1.0
            times = tf.reduce_sum(chosen * tf.constant(users), [-2, -1])
            total += tied.cost * tf.maximum(times - 1.0, 0.0)
        return total

    def cheapest_price(self):
        """Return the child at the lowest price that keeps the limits."""
        charges = tf.constant(_PRICES[:, None, None] * self.charges)
        chosen = self._one_hot(self.logits - charges)
        chosen = tf.concat([chosen, self._cheapest()[None]], 0)
        within = self._is_within(chosen)
        first = tf.argmax(tf.cast(within, "int32"))
        last = tf.constant(len(_PRICES), first.dtype)
        return chosen[tf.where(tf.reduce_any(within), first, last)]

    def _cheapest(self):
        """Return the cheapest child; among equals the likelier candidate."""
        if len(self.limits) == 1 and self.limits[0].cost.tied:
            # No choice can be made by itself.
            return self._of(self.limits[0].cost.cheapest)
        real = np.arange(self.width) < np.array([*self.sizes.values()])[:, None]
        charges = np.where(real, self.charges, np.inf)
        is_least = charges <= charges.min(1, keepdims=True)
        return self._one_hot(tf.where(is_least, self.logits, -np.inf))

    def _of(self, genotype):
        cost = self.limits[0].cost
        places = [cost.choices[n].index(genotype[n]) for n in self.sizes]
        return tf.one_hot(places, self.width, dtype=tf.float64)

    def filled(self, chosen):
        """Give the room that is left to the choices that gain most by it."""
        costs = tf.constant(self.costs)

        def better(chosen):
            spent = tf.reduce_sum(costs * chosen, [1, 2])
            own_costs = tf.reduce_sum(costs * chosen, 2, keepdims=True)
            own = tf.reduce_sum(
                tf.where(chosen > 0, self.logits, 0.0), 1, keepdims=True
            )
            more = spent[:, None, None] + costs - own_costs
            fits = tf.reduce_all(more <= self.room[:, None, None], 0)
            return tf.where(fits, self.logits - own, -np.inf)

        def step(chosen):
            flat = tf.argmax(tf.reshape(better(chosen), [-1]))
            row, column = flat // self.width, flat % self.width
            new = tf.one_hot(column, self.width, dtype=tf.float64)
            is_row = tf.range(tf.shape(chosen)[0], dtype=row.dtype) == row
            return tf.where(is_row[:, None], new, chosen)

        def has_better(chosen):
            return tf.reduce_any(better(chosen) > 0)

        return tf.while_loop(
            has_better,
            lambda chosen: (step(chosen),),
            (chosen,),
            maximum_iterations=len(self.sizes) * self.width,
        )[0]

    def by_name(self, chosen):
        """Return {choice name: float32 one-hot weights}."""
        rows = tf.unstack(tf.cast(chosen, "float32"))
        return {
            name: row[:size]
            for (name, size), row in zip(self.sizes.items(), rows, strict=True)
        }


def cost_under(cost: Any, weights: Any) -> Any:
    """Return the cost of the network under the weights of its choices.

        fixed + sum_choice sum_k weights_k cost_k - shared

    What choices share counts once, as in `ChildCost`. Under probabilities it is
    the expected cost of a child.

    Args:
        cost: ChildCost.
        weights: {choice name: tensor, shape (candidates,)}.

    Returns:
        float32 scalar tensor, in the cost's unit.
    """
    costs = np.concatenate(list(cost.rows.values()))
    flat = ops.concatenate([weights[name] for name in cost.rows])
    shared = sum(tied.expected_surplus(weights) for tied in cost.tied)
    return cost.fixed + ops.sum(tf.constant(costs, "float32") * flat) - shared


class Limit:
    """The limit of one resource on one supernet.

    The weight of the penalty is a dual variable. After every step

        weight <- weight * exp(rate * clip(10 excess, -0.4, 1))
        excess  = (max(expected cost, cost of the mode) - aim) / scale
        aim     = limit - 0.01 * scale
        scale   = min(limit, most expensive child - cheapest child)

    so it rises while a child costs too much, and falls, more slowly, while
    there is room: the search shall end below the limit, not above. The aim is a
    little below, for the weight swings about it; where the mode is above it all
    the same, `mode_within` gives a child that is not. The scale is the limit,
    but where all children cost nearly the same, what they differ by.

    Args:
        resource: Resource with a limit.
        cost: `ChildCost` of that resource on the supernet.

    Raises:
        ValueError: no child is within the limit; the message names the least.
    """

    def __init__(self, resource: Any, cost: Any):
        self.resource = resource
        self.cost = cost
        self.value = budget.in_units(resource.limit, cost.maximum)
        if not budget.is_within(cost.minimum, self.value):
            limit, least, most = map(
                text_lib.number, (self.value, cost.minimum, cost.maximum)
            )
            raise ValueError(
                f"No child is within the limit {limit} of {resource.name!r}. "
                f"The cheapest costs {least}, the most expensive {most}"
            )
        self.scale = min(self.value, cost.maximum - cost.minimum) or self.value
        self.aim = max(self.value - _MARGIN * self.scale, cost.minimum)
        self.share = cost.probability_within(self.value)
        _LOGGER.info(
            "%.3g %% of all children are within the limit %s of %r.",
            100.0 * self.share,
            text_lib.number(self.value),
            resource.name,
        )

    def expected(self, architecture: Any) -> Any:
        """Return the expected cost of a child.

        Args:
            architecture: Architecture.

        Returns:
            float32 scalar tensor, in the cost's unit.
        """
        return cost_under(self.cost, architecture.probabilities())

    def applied(self, weight: Any, architecture: Any) -> Any:
        """Return the weight of this step's penalty.

            weight * exp(clip(50 * (expected cost - aim) / scale, -3, 3))

        Args:
            weight: float32 scalar tensor.
            architecture: Architecture.

        Returns:
            float32 scalar tensor.
        """
        excess = (self.expected(architecture) - self.aim) / self.scale
        swing = ops.clip(_GAIN * ops.stop_gradient(excess), -_SWING, _SWING)
        return weight * ops.exp(swing)

    def moved(self, weight: Any, architecture: Any) -> Any:
        """Return the weight of the next step.

        Args:
            weight: float32 scalar tensor, of this step.
            architecture: Architecture, with the logits that the step left.

        Returns:
            float32 scalar tensor.
        """
        cost = ops.maximum(
            self.expected(architecture),
            cost_under(self.cost, architecture.mode()),
        )
        excess = ops.clip(_STEEP * (cost - self.aim) / self.scale, -_FALL, 1.0)
        first = self.resource.weight
        return ops.clip(
            weight * ops.exp(self.resource.rate * excess),
            first / _REACH,
            first * _REACH,
        )
