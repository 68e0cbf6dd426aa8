"""What networks cost: counted off their layers, or measured on this machine.

A cost is a function (layer, input_shape) -> float. `parameters`, `flops` and
`memory_access` count; `measure_latency` times a network's layers and returns a
cost. Teach a cost that counts a layer of your own with one decorator:

    @snas_keras.costs.flops.register(MyLayer)
    def _(layer, input_shape):
        return 2.0 * input_shape[-1]
"""

from snas_keras.costs._child_cost import (
    ChildCost,
    cost_name,
    cost_table,
    edge_costs,
)
from snas_keras.costs._counted import (
    COSTS,
    flops,
    get,
    memory_access,
    model_calls,
    parameters,
)
from snas_keras.costs._latency_table import LatencyTable
from snas_keras.costs._measure_latency import measure_latency

__all__ = [
    "COSTS",
    "ChildCost",
    "LatencyTable",
    "cost_table",
    "edge_costs",
    "flops",
    "get",
    "measure_latency",
    "memory_access",
    "model_calls",
    "parameters",
]
