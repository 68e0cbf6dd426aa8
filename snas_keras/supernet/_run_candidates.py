"""Preservation of candidates that a single path has not run."""

from typing import Any

import keras

from snas_keras._utils import keras_private
from snas_keras.supernet import _optimizers


class RunCandidates:
    """Which weights a single path has run, and moves.

    Momentum, weight decay and Adam move a weight whose gradient is zero. A
    candidate that was not run stays as it is, with all that its optimizer
    keeps for it.

    Args:
        edges: list of MixedEdge.
    """

    def __init__(self, edges: Any):
        self.owners: dict[int, list[tuple[str, int]]] = {}
        self.variables = {}
        for edge in edges:
            for index, layer in enumerate(edge.candidates.values()):
                for variable in layer.trainable_variables:
                    owner = (edge.choice, index)
                    self.owners.setdefault(id(variable), []).append(owner)
                    self.variables[id(variable)] = variable

    def filled(self, variables: Any, gradients: Any) -> list[Any]:
        """Return gradients with zeros for candidates that were not run.

        Run eagerly they have none, of which Keras would warn in every step.

        Args:
            variables: list of keras.Variable.
            gradients: list of tensor or None, one a variable.

        Returns:
            list of tensor, or None for weights that are no candidate's.
        """
        return [
            keras.ops.zeros_like(variable)
            if gradient is None and id(variable) in self.owners
            else gradient
            for variable, gradient in zip(variables, gradients, strict=True)
        ]

    def before(self, optimizer: Any, z: Any) -> list[Any]:
        """Return what a step may not move, with its value now.

        Args:
            optimizer: Keras optimizer, built.
            z: {choice name: one-hot tensor}, the draw of the step.

        Returns:
            list of (variable, its value, bool scalar tensor: whether it ran).
        """
        kept = {}
        for part in _optimizers.parts(optimizer):
            if part.built:
                kept.update(keras_private.slots(part))
        drawn = {name: keras.ops.unstack(row > 0) for name, row in z.items()}
        found = []
        for key, owners in self.owners.items():
            ran = keras.ops.any(
                keras.ops.stack([drawn[choice][k] for choice, k in owners])
            )
            for variable in (self.variables[key], *kept.get(key, ())):
                value = keras.ops.copy(keras.ops.convert_to_tensor(variable))
                found.append((variable, value, ran))
        return found

    def restore(self, before: list[Any]) -> None:
        """Set back what did not run.

        Args:
            before: what `before` returned, before the step.
        """
        for variable, value, ran in before:
            variable.assign(keras.ops.where(ran, variable, value))
