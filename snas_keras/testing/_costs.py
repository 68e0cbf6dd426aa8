"""Conformance check of costs."""

import math
from collections.abc import Callable

import keras
import numpy as np

from snas_keras import costs as costs_lib
from snas_keras import spaces
from snas_keras import supernet as supernet_lib
from snas_keras.testing import _operations, _search_spaces
from snas_keras.testing._promise import promised, require


def check_cost(cost: str | Callable[..., float]) -> None:
    """Check what every cost promises.

    On every operation of `snas_keras.OPERATIONS` it is a finite number that is
    not negative, zero for `none` and above zero for at least one; and a
    `Resource` of it trains.

    Args:
        cost: str or function (layer, input_shape) -> float, one of
            `snas_keras.COSTS`.

    Raises:
        AssertionError: a promise is broken.
        ValueError: there is no cost of that name.
    """
    function = costs_lib.get(cost)
    subject = f"Cost {cost!r}"
    with promised(subject, "be finite and not negative on every operation"):
        values = _operation_costs(function)
        for name, value in values.items():
            message = f"It is {value!r} for {name}."
            require(isinstance(value, (int, float, np.number)), message)
            require(math.isfinite(value) and value >= 0, message)
    with promised(subject, "be zero for `none` and above zero for another"):
        found = [v for (name, _), v in values.items() if name == "none"]
        require(not any(found), f"`none` costs {max(found)}.")
        require(max(values.values()) > 0, "All operations cost zero.")
    with promised(subject, "train as a Resource with a finite loss"):
        resource = supernet_lib.Resource(function, weight=1.0, name="checked")
        _search_spaces.fit_supernet(_all_operations(), resource=resource)


def _operation_costs(function):
    values = {}
    shape = (None, *_operations.images().shape[1:])
    for strides in (1, 2):
        for name, layer in _operations.operation_layers(strides).items():
            layer.build(shape)
            values[name, f"{strides=}"] = function(layer, shape)
    return values


def _all_operations():
    """Return a space of one choice between all operations."""

    # The name begins with a letter, as TensorFlow wants of a model's name.
    @spaces.search_space
    def all_operations(choose):
        inputs = keras.Input(_operations.images().shape[1:])
        x = choose("operation", _operations.operation_layers(strides=2))(inputs)
        return inputs, keras.layers.GlobalAveragePooling2D()(x)

    return all_operations()
