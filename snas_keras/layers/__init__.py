"""Layers of cells and of supernets, such as the mixed edge."""

from snas_keras._utils import moved
from snas_keras.layers._batch_norm import FusedBatchNormalization
from snas_keras.layers._candidates import (
    Choice,
    arguments,
    as_layer,
    check_candidates,
    joined,
)
from snas_keras.layers._drop_path import DropPath
from snas_keras.layers._factorized_reduce import FactorizedReduce
from snas_keras.layers._inert import is_inert
from snas_keras.layers._mixed_edge import MixedEdge, mixed_edges
from snas_keras.layers._pooling import SymmetricPooling2D, subsampling
from snas_keras.layers._separable_conv import PhasedSeparableConv2D
from snas_keras.layers._share_traces import share_traces
from snas_keras.layers._stock import (
    Copies,
    clone,
    has_assets,
    is_own_to_user,
    to_stock,
)
from snas_keras.layers._zero import Zero

__all__ = [
    "DropPath",
    "FactorizedReduce",
    "FusedBatchNormalization",
    "MixedEdge",
    "PhasedSeparableConv2D",
    "SymmetricPooling2D",
    "Zero",
    "is_inert",
    "to_stock",
]

__getattr__ = moved.attributes(
    __name__,
    {
        "BatchNormalization": (__name__, "FusedBatchNormalization"),
        "SeparableConv2D": (__name__, "PhasedSeparableConv2D"),
    },
)
