"""Costs of networks: counted from their layers or measured on this machine.

A cost is a function (layer, input_shape) -> float with a `name`. `parameters`,
`flops` (multiply-adds) and `memory_access` count; `measure_latency` times a
network's layers and returns a cost. A new cost that counts is one file with one
function, or a `CallCost` with its rules, and one line in `COSTS`
(`_registry.py`); a cost for one program is a function of your own, given in
place of a name.

A layer of your own is counted by what its `call` does with Keras layers and
`keras.ops`. Where it does otherwise, teach a cost with one decorator:

    @snas_keras.costs.flops.register(MyLayer)
    def _(layer, input_shape):
        return 2.0 * input_shape[-1]
"""

from snas_keras._utils import moved
from snas_keras.costs._calls import model_calls
from snas_keras.costs._child_cost import ChildCost, cost_table, edge_costs
from snas_keras.costs._cost import CallCost, WeightCost, cost_name
from snas_keras.costs._latency_table import LatencyTable
from snas_keras.costs._measure_latency import measure_latency
from snas_keras.costs._memory_access import memory_access
from snas_keras.costs._multiply_adds import flops
from snas_keras.costs._parameters import parameters
from snas_keras.costs._registry import COSTS, AtSize, get

__all__ = [
    "COSTS",
    "AtSize",
    "CallCost",
    "ChildCost",
    "LatencyTable",
    "WeightCost",
    "cost_name",
    "cost_table",
    "edge_costs",
    "flops",
    "get",
    "measure_latency",
    "memory_access",
    "model_calls",
    "parameters",
]

__getattr__ = moved.attributes(
    __name__,
    {
        "child_cost": (
            lambda supernet, genotype, cost: ChildCost(supernet, cost)(
                genotype
            ),
            "ChildCost(supernet, cost)(genotype)",
        ),
        "dearest_genotype": (
            lambda supernet, cost: ChildCost(supernet, cost).dearest,
            "ChildCost(supernet, cost).dearest",
        ),
    },
)
