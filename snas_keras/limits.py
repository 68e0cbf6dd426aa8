"""Limits on costs: weights of penalties that hold a child below them."""

import logging

import tensorflow as tf
from keras import ops

_LOGGER = logging.getLogger("snas_keras")
# How much more a step pays while it is above the limit; it damps the weight,
# which would swing otherwise.
_GAIN = 5.0
# A tenth of the scale off the aim already moves the weight at full rate.
_STEEP = 10.0
# The weight falls more slowly than it rises.
_FALL = 0.4
# How far below the limit is aimed, as a share of the scale.
_MARGIN = 0.03
# The weight stays within this factor of where it began.
_REACH = 1e4


class Limit:
    """The limit of one resource on one supernet.

    The weight of the penalty is a dual variable. After every step

        weight <- weight * exp(rate * clip(10 excess, -0.4, 1))
        excess  = (max(expected cost, cost of the mode) - aim) / scale
        aim     = limit - 0.03 * scale
        scale   = min(limit, dearest child - cheapest child)

    so it rises while a child is too dear, and falls, more slowly, while there
    is room: the search shall end below the limit, not above. The
    aim is a little below, for the weight swings about it. The scale is the
    limit, but where all children cost nearly the same, what they differ by.

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
            raise ValueError(
                f"No child is within the limit {self.value:,.6g} of "
                f"{resource.name!r}. The cheapest costs {cost.minimum:,.6g}, "
                f"the dearest {cost.maximum:,.6g}"
            )
        self.scale = min(self.value, cost.maximum - cost.minimum) or self.value
        self.aim = max(self.value - _MARGIN * self.scale, cost.minimum)
        self.share = cost.probability_within(self.value)
        _LOGGER.info(
            "%.3g %% of all children are within the limit %.6g of %r.",
            100.0 * self.share,
            self.value,
            resource.name,
        )

    def _in_units(self, limit):
        if isinstance(limit, str):
            return float(limit.rstrip("% ")) / 100.0 * self.cost.maximum
        return limit

    def expected(self, architecture):
        """Return the expected cost of a child, float32 scalar tensor."""
        return self._total(architecture.probabilities())

    def of_mode(self, architecture):
        """Return the cost of the likeliest child, float32 scalar tensor."""
        return self._total(architecture.mode())

    def _total(self, weights):
        return self.cost.fixed + sum(
            ops.sum(tf.constant(row, "float32") * weights[name])
            for name, row in self.cost.rows.items()
        )

    def applied(self, weight, architecture):
        """Return the weight of this step's penalty.

        weight * exp(5 * (expected cost - aim) / scale)
        """
        excess = (self.expected(architecture) - self.aim) / self.scale
        return weight * ops.exp(_GAIN * ops.clip(_held(excess), -1.0, 1.0))

    def moved(self, weight, architecture):
        """Return the weight of the next step."""
        cost = ops.maximum(
            self.expected(architecture), self.of_mode(architecture)
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
