"""Several objectives: budgets, scalar rewards and the Pareto front."""

from snas_keras._utils.budget import Budget
from snas_keras.objectives._pareto import (
    ParetoReport,
    hypervolume,
    pareto_front,
)
from snas_keras.objectives._rewards import constrained, weighted

__all__ = [
    "Budget",
    "ParetoReport",
    "constrained",
    "hypervolume",
    "pareto_front",
    "weighted",
]
