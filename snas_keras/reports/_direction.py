"""The metrics of a model: their order, and which way is better."""

from typing import Any

import keras
from keras import ops

_SEARCH_LOSSES = ("task_loss", "resource_loss")


def directions(model: Any) -> dict[str, str]:
    """Find the directions of a model's metrics, as far as Keras knows them.

    Args:
        model: compiled Keras model.

    Returns:
        {metric: "max" or "min"}, in the order in which they were
        compiled; empty before the first batch.
    """
    found = {name: direction_of(model, name) for name in metric_names(model)}
    return {name: way for name, way in found.items() if way}


def metric_names(model: Any) -> list[str]:
    """List a model's metrics in the order in which they were compiled.

    Keras sorts its logs by name.

    Args:
        model: compiled Keras model.

    Returns:
        list of str; empty before the first batch, at which Keras builds them.
    """
    try:
        return list(model.get_metrics_result())
    except ValueError:
        return []


def direction_of(model: Any, metric: str) -> str | None:
    """Find whether a metric is to be maximized or minimized.

    Args:
        model: compiled Keras model.
        metric: str, as it stands in the logs, without "val_".

    Returns:
        "max", "min", or None where Keras does not know it, as of a metric that
        is a plain function.
    """
    names = [metric]
    for output in getattr(model, "output_names", None) or ():
        if metric.startswith(f"{output}_"):
            names.append(metric.removeprefix(f"{output}_"))
    if "loss" in names or metric in _SEARCH_LOSSES:
        return "min"
    found = {_keras_rule(model, name) for name in names} - {None}
    return found.pop() if len(found) == 1 else None


def _keras_rule(model, metric):
    """Ask the callback that has Keras' rule, by what is public of it."""
    callback = keras.callbacks.EarlyStopping(metric)
    callback.set_model(model)
    callback.on_train_begin()
    try:
        callback.on_epoch_end(0, {metric: 0.0})
    except ValueError:
        return None
    return "min" if callback.monitor_op is ops.less else "max"
