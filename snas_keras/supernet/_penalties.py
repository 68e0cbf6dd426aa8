"""All resource penalties of one supernet, with the weights that limits move."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from snas_keras import costs as costs_lib
from snas_keras.supernet import _limit, _resource, _resource_loss

MAX_RESOURCES = 8


class Penalties:
    """The resource penalties of one supernet.

    Under a limit the weight of a penalty is a dual variable, an element of the
    supernet's variable `resource_weights`, which `update` moves after every
    step; the others stay what they are.

    Args:
        resources: None, Resource or sequence of Resource, at most 8.
        supernet: SuperNet.

    Raises:
        TypeError: an entry is not a Resource, or a cost does not know a layer.
        ValueError: too many, two have one name, a score function has no
            density, or no child is within a limit.
    """

    def __init__(self, resources: Any, supernet: Any):
        architecture = supernet.architecture
        self.resources = _resource.check_resources(resources, architecture)
        if len(self.resources) > MAX_RESOURCES:
            raise ValueError(
                f"At most {MAX_RESOURCES} resources. Received: "
                f"{len(self.resources)}"
            )
        self.weights = supernet.resource_weights
        self._penalties = [_Penalty(r, supernet) for r in self.resources]

    @property
    def limits(self) -> list[_limit.Limit]:
        """Return the limits, of those resources that have one."""
        return [p.limit for p in self._penalties if p.limit is not None]

    @property
    def costs(self) -> dict[str, costs_lib.ChildCost]:
        """Return {resource name: the cost of whole children}."""
        return {p.resource.name: p.cost for p in self._penalties}

    def current_weights(self) -> dict[str, float]:
        """Return {resource name: weight of its penalty now}."""
        values = ops.convert_to_numpy(self.weights)
        pairs = zip(self.resources, values, strict=False)
        return {resource.name: float(weight) for resource, weight in pairs}

    def reset_weights(self) -> None:
        """Set all weights to where they begin."""
        first = [resource.weight for resource in self.resources]
        self.weights.assign(_padded(first))

    def loss(self, architecture: Any, z: Any, step: Any) -> Any:
        """Return the weighted sum of all penalties.

        Args:
            architecture: Architecture.
            z: {choice name: tensor}, the draw of this step.
            step: int scalar tensor, of the draw.

        Returns:
            float32 scalar tensor.
        """
        if not self._penalties:
            return ops.zeros(())
        return sum(
            penalty.loss(architecture, z, step, weight)
            for penalty, weight in self._weighted()
        )

    def update(self, architecture: Any) -> None:
        """Move the weights of limited resources, after a step.

        Args:
            architecture: Architecture, with the logits that the step left.
        """
        if not self.limits:
            return
        moved = [
            penalty.moved(weight, architecture)
            for penalty, weight in self._weighted()
        ]
        self.weights.assign(ops.stack(_padded(moved)))

    def mode(self, architecture: Any) -> dict[str, Any]:
        """Return the one-hot weights of the likeliest child within all limits.

        Args:
            architecture: Architecture.

        Returns:
            {choice name: float32 tensor, shape (candidates,)}.
        """
        return _limit.mode_within(architecture, self.limits)

    @property
    def metrics(self) -> Sequence[keras.metrics.Metric]:
        """Return the means over an epoch.

        They are the expected costs, then those of limits: the cost of the child
        and the weight.
        """
        expected = [p.expected for p in self._penalties]
        return [*expected, *(m for p in self._penalties for m in p.of_limit)]

    def log(self, architecture: Any, mode: Any, batch_size: Any) -> None:
        """Add one step to the metrics.

        Args:
            architecture: Architecture.
            mode: {choice name: one-hot weights} of the child.
            batch_size: int scalar, examples in the step.
        """
        probabilities = architecture.probabilities()
        for penalty, weight in self._weighted():
            penalty.log(probabilities, mode, weight, batch_size)

    def _weighted(self):
        weights = ops.unstack(ops.convert_to_tensor(self.weights))
        return zip(self._penalties, weights, strict=False)


class _Penalty:
    """One resource: its loss, the cost of children, and its limit."""

    def __init__(self, resource, supernet):
        self.resource = resource
        self.resource_loss = _resource_loss.ResourceLoss(
            resource, supernet.network
        )
        self.cost = costs_lib.ChildCost(supernet, resource.cost)
        self.limit = None
        if resource.limit is not None:
            self.limit = _limit.Limit(resource, self.cost)
        self.expected = keras.metrics.Mean(name=f"expected_{resource.name}")
        labels = ("child", "weight") if self.limit else ()
        self.of_limit = [
            keras.metrics.Mean(name=f"{label}_{resource.name}")
            for label in labels
        ]

    def loss(self, architecture, z, step, weight):
        if self.limit:
            weight = self.limit.applied(weight, architecture)
        return self.resource_loss(architecture, z, step, weight)

    def moved(self, weight, architecture):
        return self.limit.moved(weight, architecture) if self.limit else weight

    def log(self, probabilities, mode, weight, batch_size):
        expected = _limit.cost_under(self.cost, probabilities)
        self.expected.update_state(expected, sample_weight=batch_size)
        if self.limit:
            child, penalty_weight = self.of_limit
            cost = _limit.cost_under(self.cost, mode)
            child.update_state(cost, sample_weight=batch_size)
            penalty_weight.update_state(weight, sample_weight=batch_size)


def _padded(weights):
    """Fill up with zeros: a file's variable fits whatever was compiled."""
    return [*weights, *[0.0] * (MAX_RESOURCES - len(weights))]
