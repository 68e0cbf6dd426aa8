"""Metrics of a search, beside the user's."""

from typing import Any

import keras
from keras import ops


class SearchMetrics:
    """The means that a supernet logs over each training epoch.

    Args:
        has_resources: bool, whether there is a resource loss to log.
    """

    def __init__(self, has_resources: bool = False):
        names = ["task_loss", "architecture_entropy"]
        if has_resources:
            names.append("resource_loss")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._means.values())

    def log_losses(
        self, task_loss: Any, resource_loss: Any, batch_size: Any
    ) -> None:
        """Add the losses of one step.

        Args:
            task_loss: float scalar, nats for a cross-entropy.
            resource_loss: float scalar, in the same unit.
            batch_size: int scalar, examples in the step.
        """
        values = {"task_loss": task_loss, "resource_loss": resource_loss}
        for name, value in values.items():
            if name in self._means:
                self._means[name].update_state(value, sample_weight=batch_size)

    def log_entropy(self, architecture: Any, batch_size: Any) -> None:
        """Add the mean entropy of the choices, in nats.

        Args:
            architecture: Architecture.
            batch_size: int scalar, examples in the step.
        """
        entropy = ops.mean(ops.stack(list(architecture.entropy().values())))
        self._means["architecture_entropy"].update_state(
            entropy, sample_weight=batch_size
        )
