"""Several objectives: rewards that join them, and the Pareto front."""

from snas_keras.objectives._pareto import (
    ParetoReport,
    hypervolume,
    pareto_front,
)
from snas_keras.objectives._rewards import constrained, weighted

__all__ = [
    "ParetoReport",
    "constrained",
    "hypervolume",
    "pareto_front",
    "weighted",
]
