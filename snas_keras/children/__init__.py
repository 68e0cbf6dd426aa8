"""Fixed networks: built, converted, recalibrated, exported."""

from snas_keras.children._build import (
    build_child,
    convert,
    for_inference,
    inherited_child,
)
from snas_keras.children._export import (
    export_litert,
    export_onnx,
    export_saved_model,
)
from snas_keras.children._recalibration import recalibrate_batch_norm

__all__ = [
    "build_child",
    "convert",
    "export_litert",
    "export_onnx",
    "export_saved_model",
    "for_inference",
    "inherited_child",
    "recalibrate_batch_norm",
]
