"""Stochastic Neural Architecture Search as Keras 3 layers."""

import sys

from snas_keras import children, costs, layers, supernet, training
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

# Modules of the first release whose contents live in rooms now.
sys.modules[f"{__name__}.published"] = published
resources = moved.module(
    "resources",
    {
        "ChildCost": (costs.ChildCost, "snas_keras.costs.ChildCost"),
        "Resource": (Resource, "snas_keras.Resource"),
        "ResourceLoss": (
            supernet.ResourceLoss,
            "snas_keras.supernet.ResourceLoss",
        ),
        "mixed_edges": (layers.mixed_edges, "snas_keras.layers.mixed_edges"),
        "cost_table": (costs.cost_table, "snas_keras.costs.cost_table"),
        "edge_costs": (costs.edge_costs, "snas_keras.costs.edge_costs"),
        "child_cost": (
            lambda supernet, genotype, cost: costs.ChildCost(supernet, cost)(
                genotype
            ),
            "snas_keras.costs.ChildCost(supernet, cost)(genotype)",
        ),
        "dearest_genotype": (
            lambda supernet, cost: costs.ChildCost(supernet, cost).dearest,
            "snas_keras.costs.ChildCost(supernet, cost).dearest",
        ),
    },
)
child = moved.module(
    "child",
    {
        name: (getattr(children, name), f"snas_keras.children.{name}")
        for name in (
            *("build_child", "convert", "for_inference", "inherited_child"),
        )
    },
)
limits = moved.module(
    "limits",
    {
        "Limit": (supernet.Limit, "snas_keras.supernet.Limit"),
        "mode_within": (
            supernet.mode_within,
            "snas_keras.supernet.mode_within",
        ),
    },
)
multi_worker = moved.module(
    "multi_worker",
    {
        name: (getattr(training, name), f"snas_keras.training.{name}")
        for name in (
            *("MultiWorkerModel", "MultiWorkerTraining"),
            *("is_chief", "is_multi_worker", "launch"),
        )
    },
)
schedules = moved.module(
    "schedules",
    {
        name: (getattr(training, name), f"snas_keras.training.{name}")
        for name in (
            *("SCHEDULES", "DropPathSchedule", "TemperatureSchedule"),
            *("exponential", "linear"),
        )
    },
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
