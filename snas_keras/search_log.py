"""What a supernet logs over each epoch, beside the user's metrics."""

import keras
from keras import ops


class SearchLog:
    """The means that a supernet logs over each training epoch.

    Args:
        resource_losses: list of ResourceLoss.
    """

    def __init__(self, resource_losses):
        self.resource_losses = resource_losses
        names = ["task_loss", "architecture_entropy"]
        if resource_losses:
            names.append("resource_loss")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self._costs = [
            keras.metrics.Mean(name=f"expected_{loss.resource.name}")
            for loss in resource_losses
        ]

    @property
    def metrics(self):
        return [*self._means.values(), *self._costs]

    def update(self, architecture, task_loss, resource_loss, batch_size):
        """Add one step: losses in nats, the mean entropy of the choices in
        nats, and the expected cost of the edges in the cost's unit."""
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
