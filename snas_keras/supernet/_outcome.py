"""Warnings at the end of a search that has failed."""

import warnings
from typing import Any

import keras
import numpy as np

# Above chance by less than this share of what there is above it.
_SHARE = 0.05
_EXAMPLES = 128


class SearchWarning(UserWarning):
    """A search goes wrong, or has come to nothing."""


def warn_of_outcome(supernet: Any, history: Any, x: Any, y: Any) -> None:
    """Warn where `fit` ended in a child that learns nothing, or knows nothing.

    Args:
        supernet: SuperNet, searched.
        history: keras.callbacks.History of the search.
        x: training inputs as `fit` got them, or None.
        y: training targets, the same.
    """
    try:
        genotype = supernet.derive()
    except ValueError as error:
        _warn(str(error))
        return
    if _is_idle(supernet, genotype):
        _warn(
            "The search ended in a child without weights in any of its "
            f"choices: {dict(genotype)}. Lower the resource weight, or give a "
            'limit such as Resource("flops", limit="60%") in its place; search '
            "longer, or with a batch norm in each block."
        )
    accuracy, chance = _accuracy(supernet, history, x, y), _chance(supernet)
    if accuracy is None or chance is None:
        return
    if accuracy - chance < _SHARE * (1.0 - chance):
        _warn(
            f"The search ended in a child at chance: its accuracy is "
            f"{accuracy:.3f}, of guessing {chance:.3f}. It inherits weights "
            "that were trained in mixtures: search longer, lower the "
            "temperature to the end (TemperatureSchedule), recalibrate its "
            "batch norms, or retrain it before you judge it."
        )


def _warn(text):
    # At the line of the user that called `fit`.
    warnings.warn(text, SearchWarning, stacklevel=5)


def _is_idle(supernet, genotype):
    """Whether no choice took weights, where weights were to be had."""
    taken = had = False
    for edge in _edges(supernet):
        for name, layer in edge.candidates.items():
            has_weights = bool(layer.trainable_variables)
            had |= has_weights
            taken |= has_weights and name == genotype[edge.choice]
    return had and not taken


def _edges(supernet):
    return [x for x in supernet.network.layers if hasattr(x, "candidates")]


def _chance(supernet):
    """Return the accuracy of guessing, of a classifier of one output."""
    outputs = keras.tree.flatten(supernet.network.output)
    if len(outputs) != 1 or outputs[0].shape[-1] is None:
        return None
    return 1.0 / max(2, outputs[0].shape[-1])


def _accuracy(supernet, history, x, y):
    """Return the accuracy of the child, where the user follows one."""
    for name, values in history.history.items():
        if name.startswith("val_") and name.endswith("accuracy") and values:
            return float(values[-1])
    follows = any(name.endswith("accuracy") for name in history.history)
    outputs = keras.tree.flatten(supernet.network.output)
    is_array = hasattr(x, "shape") and hasattr(y, "shape")
    if not follows or not is_array or not len(x) or outputs[0].shape[-1] < 2:
        return None
    rows = np.linspace(0, len(x) - 1, min(_EXAMPLES, len(x))).astype(int)
    x, y = (keras.ops.convert_to_numpy(array)[rows] for array in (x, y))
    guessed = np.argmax(keras.tree.flatten(supernet(x))[0], -1)
    classes = np.reshape(y, -1) if y.size == guessed.size else y.argmax(-1)
    return float(np.mean(np.reshape(guessed, -1) == np.reshape(classes, -1)))
