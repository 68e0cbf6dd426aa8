"""What a supernet logs over each epoch, beside the user's metrics."""

import keras
from keras import ops


class SearchMetrics:
    """The means that a supernet logs over each training epoch.

    Args:
        resource_losses: list of ResourceLoss.
        limits: list of Limit or None, one for each.
    """

    def __init__(self, resource_losses, limits):
        self.resource_losses = resource_losses
        self.limits = limits
        names = ["task_loss", "architecture_entropy"]
        if resource_losses:
            names.append("resource_loss")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self._costs = [
            keras.metrics.Mean(name=f"expected_{loss.resource.name}")
            for loss in resource_losses
        ]
        # Under a limit: what the child costs, and the weight that holds it.
        self._kept = {
            index: [
                keras.metrics.Mean(name=f"{label}_{limit.resource.name}")
                for label in ("child", "weight")
            ]
            for index, limit in enumerate(limits)
            if limit
        }

    @property
    def metrics(self):
        kept = [mean for means in self._kept.values() for mean in means]
        return [*self._means.values(), *self._costs, *kept]

    def update(
        self, architecture, mode, task_loss, resource_loss, batch_size, weights
    ):
        """Add one step: losses in nats, the mean entropy of the choices in
        nats, the expected cost of the edges in the cost's unit, and under a
        limit the cost of the child and the penalty's weight."""
        values = {
            "task_loss": task_loss,
            "architecture_entropy": ops.mean(
                ops.stack(list(architecture.entropy().values()))
            ),
            "resource_loss": resource_loss,
        }
        for name, mean in self._means.items():
            mean.update_state(values[name], sample_weight=batch_size)
        probabilities = architecture.probabilities()
        for mean, loss in zip(self._costs, self.resource_losses, strict=True):
            mean.update_state(
                loss.expected_cost(probabilities), sample_weight=batch_size
            )
        for index, (child, weight) in self._kept.items():
            cost = self.limits[index].of(mode)
            child.update_state(cost, sample_weight=batch_size)
            weight.update_state(weights[index], sample_weight=batch_size)
