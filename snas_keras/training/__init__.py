"""Arguments of `fit`: optimizer, schedules, batches, checkpoints."""

from snas_keras.training._batches import AddressableBatches
from snas_keras.training._checkpoint import SearchCheckpoint
from snas_keras.training._coupled_sgd import CoupledSGD
from snas_keras.training._multi_worker import (
    MultiWorkerModel,
    MultiWorkerTraining,
    is_chief,
    is_multi_worker,
    launch,
)
from snas_keras.training._schedules import (
    SCHEDULES,
    DropPathSchedule,
    TemperatureSchedule,
    exponential,
    linear,
)

__all__ = [
    "AddressableBatches",
    "CoupledSGD",
    "DropPathSchedule",
    "MultiWorkerModel",
    "MultiWorkerTraining",
    "SCHEDULES",
    "SearchCheckpoint",
    "TemperatureSchedule",
    "exponential",
    "is_chief",
    "is_multi_worker",
    "launch",
    "linear",
]
