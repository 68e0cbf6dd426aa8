"""What networks cost.

A cost is a function (layer, input_shape) -> float. `parameters`, `flops` and
`memory_access` count. Teach them a layer of your own with one decorator:

    @snas_keras.costs.flops.register(MyLayer)
    def _(layer, input_shape):
        return 2.0 * input_shape[-1]
"""

from snas_keras.layer_costs import (
    COSTS,
    flops,
    get,
    memory_access,
    model_calls,
    parameters,
)

__all__ = [
    "COSTS",
    "flops",
    "get",
    "memory_access",
    "model_calls",
    "parameters",
]
