"""Stock Keras equivalents of layers."""

from typing import Any

import keras


def to_stock(layer: Any) -> Any:
    """Return a new layer of stock classes that computes what `layer` does.

    Args:
        layer: Keras layer, or a Sequential or functional model.

    Returns:
        Keras layer, its weights not yet copied.
    """
    if hasattr(layer, "to_stock"):
        return layer.to_stock()
    if isinstance(layer, keras.Sequential):
        return keras.Sequential([to_stock(x) for x in layer.layers])
    if isinstance(layer, keras.Model) and hasattr(layer, "operations"):
        return keras.models.clone_model(
            layer, clone_function=_stock_operation, recursive=True
        )
    return layer.__class__.from_config(layer.get_config())


def _stock_operation(operation):
    if isinstance(operation, keras.layers.Layer):
        fixed = to_stock(operation)
        fixed.name = operation.name
        return fixed
    return operation.__class__.from_config(operation.get_config())
