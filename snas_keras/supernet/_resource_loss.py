"""A resource penalty bound to one supernet."""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from snas_keras import costs as costs_lib


class ResourceLoss:
    """A Resource bound to the edges of one supernet.

    Args:
        resource: Resource.
        network: functional Keras model with `MixedEdge` layers.

    Raises:
        TypeError: the cost does not know a candidate's type.
        ValueError: no candidate costs anything.
    """

    def __init__(self, resource: Any, network: Any):
        self.resource = resource
        table = costs_lib.cost_table(network, resource.cost)
        self.choices = list(table)
        self.most_expensive = sum(t.sum(0).max() for t in table.values())
        if self.most_expensive <= 0:
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
            t.sum(0, keepdims=True) / self.most_expensive
            for t in table.values()
        )

    def __call__(
        self, architecture: Any, z: Any, step: Any, weight: Any = None
    ) -> Any:
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
        if self.resource.gradient == "score_function":
            return weight * self._score_function(architecture, z, step)
        expected = self.resource.gradient == "expected"
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
