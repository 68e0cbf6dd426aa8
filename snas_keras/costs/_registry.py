"""Costs by name, and at sizes that the inputs leave open."""

from typing import Any

import keras

from snas_keras._utils import checks
from snas_keras.costs import (
    _cost,
    _memory_access,
    _multiply_adds,
    _parameters,
)

COSTS = {
    "parameters": _parameters.parameters,
    "flops": _multiply_adds.flops,
    "memory_access": _memory_access.memory_access,
}


def get(cost: Any) -> Any:
    """Look a cost up by name; a callable is returned as it is.

    Args:
        cost: str, one of `COSTS`, or a function (layer, input_shape) -> float.

    Returns:
        The function.

    Raises:
        ValueError: an unknown name.
    """
    if callable(cost):
        return cost
    if cost not in COSTS:
        raise ValueError(
            f"There is no such cost. Received: cost={cost!r}. Allowed: "
            f"{sorted(COSTS)} or a function (layer, input_shape) -> float."
        )
    return COSTS[cost]


@keras.saving.register_keras_serializable(package="snas_keras")
class AtSize:
    """A cost at a nominal size, for networks that take inputs of any size.

    A cost of calls depends on the length of a sequence or the side of an image.
    Where the search space leaves it open, `Input((None, 8))`, this cost counts
    as if it were `size`, from the network's inputs on: what a stride or a
    pooling makes of it is followed.

    Args:
        cost: str or function (layer, input_shape) -> float.
        size: int, positive: the size that counts for every open one.

    Raises:
        ValueError: `size` is not a positive int.

    Example:

    >>> resource = snas_keras.Resource(AtSize("flops", 128), limit="60%")
    >>> resource.name
    'flops'
    """

    def __init__(self, cost: Any, size: int):
        self.cost = get(cost)
        self.size = checks.positive_int("size", size)
        self.name = _cost.cost_name(cost)

    def __call__(self, layer: Any, input_shape: Any) -> float:
        return self.cost(layer, input_shape)

    def get_config(self) -> dict[str, Any]:
        by_name = [n for n, cost in COSTS.items() if cost is self.cost]
        serialized = (
            by_name[0]
            if by_name
            else keras.saving.serialize_keras_object(self.cost)
        )
        return {"cost": serialized, "size": self.size}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AtSize":
        cost = config["cost"]
        if isinstance(cost, dict):
            cost = keras.saving.deserialize_keras_object(cost)
        return cls(cost, config["size"])
