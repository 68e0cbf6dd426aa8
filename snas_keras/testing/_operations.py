"""Conformance check of candidate operations."""

import json
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from snas_keras import layers, spaces
from snas_keras.testing._promise import (
    check_close,
    check_same_shapes,
    promised,
    require,
)

_SIDE = 8


_FILTERS = 4


def check_operation(operation: str | Callable[..., Any]) -> None:
    """Check what every candidate operation promises.

    It keeps the number of channels and divides height and width by the stride;
    survives serialization; trains; runs in mixed precision; refuses zero
    filters (or does not look at them); and becomes stock Keras layers with the
    same outputs, so that a child network loads where its author is not known.

    Args:
        operation: str or function (filters, strides, affine) -> layer, one of
            `snas_keras.OPERATIONS`.

    Raises:
        AssertionError: a promise is broken.
        ValueError: there is no operation of that name.

    Example:

    >>> from snas_keras import testing
    >>> testing.check_operation("skip_connect")
    """
    make = spaces.get(operation)
    checks = {
        "keep the channels and divide the sides by the stride": _check_shapes,
        "survive serialization with equal outputs": _check_serialization,
        "become stock Keras layers with equal outputs": _check_stock,
        "refuse filters=0 with a ValueError": _check_zero_filters,
        "run in mixed_bfloat16 with bfloat16 outputs": _check_mixed_precision,
        "train with a finite loss": _check_training,
    }
    for promise, check in checks.items():
        with promised(f"Operation {operation!r}", promise):
            check(make)


def images(filters: int = _FILTERS) -> np.ndarray:
    """Return two images of normal numbers.

    Args:
        filters: int, their channels, default 4.
    """
    values = np.random.default_rng(0).normal(size=(2, _SIDE, _SIDE, filters))
    return values.astype("float32")


def operation_layers(strides: int) -> dict[str, Any]:
    """Make a layer of every operation.

    Args:
        strides: int.

    Returns:
        {operation name: layer}, not built.
    """
    return {
        name: make(_FILTERS, strides)
        for name, make in spaces.OPERATIONS.items()
    }


def _built(make, strides):
    """Return the layer, with weights that no initializer would give."""
    layer = make(_FILTERS, strides, True)
    layer(images())
    generator = np.random.default_rng(1)
    layer.set_weights(
        [generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
    )
    return layer


def _check_shapes(make):
    for strides, filters, affine in ((1, 4, True), (2, 8, True), (2, 4, False)):
        x = images(filters)
        layer = make(filters, strides, affine)
        real = layer(x)
        symbolic = layer.compute_output_spec(keras.KerasTensor(x.shape))
        side = _SIDE // strides
        for kind, y in (("real", real), ("symbolic", symbolic)):
            require(
                tuple(y.shape) == (len(x), side, side, filters),
                f"The {kind} output of shape {tuple(y.shape)} comes from "
                f"{x.shape} with {filters=}, {strides=}, {affine=}.",
            )


def _check_serialization(make):
    for strides in (1, 2):
        layer = _built(make, strides)
        config = keras.saving.serialize_keras_object(layer)
        config = json.loads(json.dumps(config))
        _check_twin(keras.saving.deserialize_keras_object(config), layer)


def _check_stock(make):
    for strides in (1, 2):
        layer = _built(make, strides)
        if isinstance(layer, layers.Zero):
            continue  # An edge that takes it is left out of the child.
        stock = layers.to_stock(layer)
        _check_twin(stock, layer)
        for part in stock._flatten_layers():
            module = type(part).__module__
            require(module.startswith("keras."), f"{part!r} is of {module}.")


def _check_twin(twin, layer):
    """Give the twin the layer's weights and compare the outputs."""
    twin(images())
    twin.set_weights(layer.get_weights())
    check_close(twin(images()), layer(images()))


def _check_zero_filters(make):
    """An operation that takes no notice of `filters` need not refuse them."""
    for strides in (1, 2):
        try:
            layer = make(0, strides, True)
        except ValueError:
            continue
        check_same_shapes(
            layer(images()), make(_FILTERS, strides, True)(images())
        )


def _check_mixed_precision(make):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for strides in (1, 2):
            y = make(_FILTERS, strides, True)(images(), training=True)
            require(y.dtype == "bfloat16", f"The outputs are {y.dtype}.")
            y = keras.ops.cast(y, "float32")
            require(np.isfinite(y).all(), f"The outputs are {y}.")
    finally:
        keras.config.set_dtype_policy(before)


def _check_training(make):
    inputs = keras.Input(images().shape[1:])
    x = make(_FILTERS, 2, True)(make(_FILTERS, 1, True)(inputs))
    outputs = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    loss = model.train_on_batch(images(), np.ones((2, 1)))
    require(math.isfinite(loss), f"The loss is {loss}.")
    for variable in model.variables:
        require(np.isfinite(variable).all(), f"{variable.path} is not finite.")
