"""The supernet: all children of a search space trained at once."""

from snas_keras.supernet._architecture import Architecture
from snas_keras.supernet._build import build_supernet
from snas_keras.supernet._derivations import DERIVATIONS
from snas_keras.supernet._distribution import Distribution
from snas_keras.supernet._limit import Limit, cost_under, mode_within
from snas_keras.supernet._outcome import SearchWarning
from snas_keras.supernet._resource import Resource
from snas_keras.supernet._resource_loss import ResourceLoss
from snas_keras.supernet._supernet import SuperNet

__all__ = [
    "DERIVATIONS",
    "Architecture",
    "Distribution",
    "Limit",
    "Resource",
    "ResourceLoss",
    "SearchWarning",
    "SuperNet",
    "build_supernet",
    "mode_within",
]
