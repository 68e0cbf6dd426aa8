"""Limits on costs: penalties that lead the search below them, and the child."""

import collections
import logging

import numpy as np
import tensorflow as tf
from keras import ops

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


def mode_within(architecture, limits):
    """Return the mode, or where it is too dear a likely child within limits.

    Candidates pay a price for their cost, the least at which the child that is
    then the likeliest is within every limit:

        argmax_k logits_k - price * sum_limit cost_k / scale

    At price zero it is the mode. With one limit there is always such a child;
    of several, the cheapest children that can be had this way may keep only
    some.

    Args:
        architecture: Architecture.
        limits: list of Limit or None.

    Returns:
        {choice name: float32 tensor, shape (candidates,), one-hot}.
    """
    kept = [limit for limit in limits if limit]
    if not kept:
        return architecture.mode()
    groups = collections.defaultdict(list)
    for name, candidates in architecture.choices.items():
        groups[len(candidates)].append(name)
    totals = [limit.cost.fixed for limit in kept]
    chosen = {}
    for size, names in groups.items():
        rows = [np.stack([x.cost.rows[n] for n in names]) for x in kept]
        charges = sum(r / x.scale for r, x in zip(rows, kept, strict=True))
        logits = tf.stack(
            [tf.convert_to_tensor(architecture.logits[n]) for n in names]
        )
        scores = tf.cast(logits, "float64") - tf.constant(
            _PRICES[:, None, None] * charges
        )
        chosen[size] = tf.one_hot(tf.argmax(scores, -1), size, dtype=tf.float64)
        totals = [
            total + tf.reduce_sum(chosen[size] * tf.constant(r), [1, 2])
            for total, r in zip(totals, rows, strict=True)
        ]
    index = _first_within(totals, kept)
    return {
        name: row
        for size, names in groups.items()
        for name, row in zip(
            names,
            tf.unstack(tf.cast(chosen[size][index], "float32")),
            strict=True,
        )
    }


def _first_within(totals, kept):
    """Return the place of the lowest price that keeps all limits, or the last.

    A billionth above a limit is rounding.
    """
    within = [
        total <= limit.value * (1.0 + 1e-9)
        for total, limit in zip(totals, kept, strict=True)
    ]
    found = tf.reduce_all(tf.stack(within), axis=0)
    first = tf.argmax(tf.cast(found, "int32"))
    last = tf.constant(len(_PRICES) - 1, first.dtype)
    return tf.where(tf.reduce_any(found), first, last)


class Limit:
    """The limit of one resource on one supernet.

    The weight of the penalty is a dual variable. After every step

        weight <- weight * exp(rate * clip(10 excess, -0.4, 1))
        excess  = (max(expected cost, cost of the mode) - aim) / scale
        aim     = limit - 0.01 * scale
        scale   = min(limit, dearest child - cheapest child)

    so it rises while a child is too dear, and falls, more slowly, while there
    is room: the search shall end below the limit, not above. The aim is a
    little below, for the weight swings about it; where the mode is above it all
    the same, `mode_within` gives a child that is not. The scale is the limit,
    but where all children cost nearly the same, what they differ by.

    Args:
        resource: Resource with a limit.
        cost: `ChildCost` of that resource on the supernet.

    Raises:
        ValueError: no child is within the limit; the message names the least.
    """

    def __init__(self, resource, cost):
        self.resource = resource
        self.cost = cost
        self.value = self._in_units(resource.limit)
        if cost.minimum > self.value:
            limit, least, most = map(
                text_lib.number, (self.value, cost.minimum, cost.maximum)
            )
            raise ValueError(
                f"No child is within the limit {limit} of {resource.name!r}. "
                f"The cheapest costs {least}, the dearest {most}"
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

    def _in_units(self, limit):
        if isinstance(limit, str):
            return float(limit.rstrip("% ")) / 100.0 * self.cost.maximum
        return limit

    def expected(self, architecture):
        """Return the expected cost of a child, float32 scalar tensor."""
        return self.of(architecture.probabilities())

    def of(self, weights):
        """Return the cost under {choice name: weights}, float32 scalar."""
        costs = np.concatenate(list(self.cost.rows.values()))
        weights = ops.concatenate([weights[name] for name in self.cost.rows])
        return self.cost.fixed + ops.sum(
            tf.constant(costs, "float32") * weights
        )

    def applied(self, weight, architecture):
        """Return the weight of this step's penalty.

        weight * exp(clip(50 * (expected cost - aim) / scale, -3, 3))
        """
        excess = (self.expected(architecture) - self.aim) / self.scale
        swing = ops.clip(_GAIN * _held(excess), -_SWING, _SWING)
        return weight * ops.exp(swing)

    def moved(self, weight, architecture):
        """Return the weight of the next step."""
        cost = ops.maximum(
            self.expected(architecture), self.of(architecture.mode())
        )
        excess = ops.clip(_STEEP * (cost - self.aim) / self.scale, -_FALL, 1.0)
        first = self.resource.weight
        return ops.clip(
            weight * ops.exp(self.resource.rate * excess),
            first / _REACH,
            first * _REACH,
        )


def _held(tensor):
    return ops.stop_gradient(tensor)
