"""The layers that Keras lacks, and the mixed edge of a supernet."""

from snas_keras.layers._batch_norm import BatchNormalization
from snas_keras.layers._drop_path import DropPath
from snas_keras.layers._factorized_reduce import FactorizedReduce
from snas_keras.layers._mixed_edge import (
    MixedEdge,
    as_layer,
    check_candidates,
    mixed_edges,
    share_traces,
)
from snas_keras.layers._pooling import SymmetricPooling2D, subsampling
from snas_keras.layers._separable_conv import SeparableConv2D
from snas_keras.layers._stock import to_stock
from snas_keras.layers._zero import Zero

__all__ = [
    "BatchNormalization",
    "DropPath",
    "FactorizedReduce",
    "MixedEdge",
    "SeparableConv2D",
    "SymmetricPooling2D",
    "Zero",
    "to_stock",
]
