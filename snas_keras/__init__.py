"""Stochastic Neural Architecture Search as Keras 3 layers."""

import sys

from snas_keras._utils import moved
from snas_keras.children import (
    build_child,
    convert,
    export_litert,
    export_onnx,
    export_saved_model,
    for_inference,
    recalibrate_batch_norm,
)
from snas_keras.costs import COSTS, LatencyTable, measure_latency
from snas_keras.estimators import ESTIMATORS
from snas_keras.layers import MixedEdge
from snas_keras.reports import (
    HealthGuard,
    SearchLogger,
    SearchWarning,
    retention_report,
    search_report,
    space_report,
)
from snas_keras.spaces import (
    OPERATIONS,
    SEARCH_SPACES,
    Genotype,
    SearchSpace,
    cell,
    published,
    search_space,
)
from snas_keras.supernet import (
    DERIVATIONS,
    Architecture,
    Resource,
    SuperNet,
    build_supernet,
)
from snas_keras.training import (
    SCHEDULES,
    AddressableBatches,
    CoupledSGD,
    DropPathSchedule,
    SearchCheckpoint,
    TemperatureSchedule,
)

# Modules of the first release, whose contents stand in rooms now.
sys.modules[f"{__name__}.published"] = published
moved.modules(
    {
        "architecture": {"supernet": "Architecture"},
        "checkpoint": {"training": "SearchCheckpoint"},
        "child": {
            "children": "build_child convert for_inference inherited_child"
        },
        "data": {"training": "AddressableBatches"},
        "distribution": {"supernet": "Distribution"},
        "edges": {"layers": "MixedEdge"},
        "export": {"children": "export_litert export_onnx export_saved_model"},
        "genotype": {"spaces": "Genotype"},
        "health": {"reports": "HealthGuard SearchWarning"},
        "latency": {"costs": "measure_latency"},
        "latency_table": {"costs": "LatencyTable"},
        "limits": {"supernet": "Limit mode_within"},
        "multi_worker": {
            "training": "MultiWorkerModel MultiWorkerTraining is_chief "
            "is_multi_worker launch"
        },
        "operations": {"spaces": "OPERATIONS"},
        "optimizers": {"training": "CoupledSGD"},
        "oracles": {
            "tuner": "ArchitectureOracle ChoicesOracle "
            "RegularizedEvolutionOracle"
        },
        "recalibration": {"children": "recalibrate_batch_norm"},
        "report": {"reports": "search_report"},
        "resources": {
            "costs": "ChildCost child_cost cost_table dearest_genotype "
            "edge_costs",
            "layers": "mixed_edges",
            "supernet": "Resource ResourceLoss",
        },
        "retention": {"reports": "RetentionReport retention_report"},
        "schedules": {
            "training": "SCHEDULES DropPathSchedule TemperatureSchedule "
            "exponential linear"
        },
        "search_logger": {"reports": "SearchLogger read_log"},
        "search_spaces": {"spaces": "SEARCH_SPACES cell"},
    },
    package=__name__,
)

__version__ = "0.1.0"

__all__ = [
    "COSTS",
    "DERIVATIONS",
    "ESTIMATORS",
    "OPERATIONS",
    "SCHEDULES",
    "SEARCH_SPACES",
    "AddressableBatches",
    "Architecture",
    "CoupledSGD",
    "DropPathSchedule",
    "Genotype",
    "HealthGuard",
    "LatencyTable",
    "MixedEdge",
    "Resource",
    "SearchCheckpoint",
    "SearchLogger",
    "SearchSpace",
    "SearchWarning",
    "SuperNet",
    "TemperatureSchedule",
    "build_child",
    "build_supernet",
    "cell",
    "convert",
    "export_litert",
    "export_onnx",
    "export_saved_model",
    "for_inference",
    "measure_latency",
    "published",
    "recalibrate_batch_norm",
    "retention_report",
    "search_report",
    "search_space",
    "space_report",
]
