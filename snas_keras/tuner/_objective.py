"""The direction of an objective: known, or asked for, never guessed."""

import re
import typing

import keras_tuner

# Metrics of Keras that Keras Tuner 1.4.8 minimizes, not knowing them.
_MAXIMIZED = {
    *("f1_score", "fbeta_score", "r2_score"),
    *("io_u", "binary_io_u", "mean_io_u", "one_hot_io_u", "one_hot_mean_io_u"),
    *("concordance_correlation", "pearson_correlation"),
}
# Keras Tuner minimizes all that it does not know; these words say so, too.
_ERROR = re.compile(
    "(^|_)(loss|error|crossentropy|divergence|hinge|poisson|logcosh|log_cosh|"
    "mse|mae|mape|msle|kld|bce|ce)(_|$)"
)


def check_objective(objective: typing.Any) -> typing.Any:
    """Return an objective with its direction, or ask for it.

    A metric that is given by its name is maximized or minimized as Keras Tuner
    has it, where Keras or the name says the same. F1, R2 and intersection over
    union are maximized.

    Args:
        objective: str, `keras_tuner.Objective`, or None, Keras Tuner's default.

    Returns:
        keras_tuner.Objective or None.

    Raises:
        TypeError: several objectives.
        ValueError: the direction is not known.

    Example:

    >>> check_objective("val_f1_score").direction
    'max'
    """
    if isinstance(objective, (list, tuple)):
        raise TypeError(
            "Give one objective: Keras Tuner adds several up, whatever "
            "their units. `snas_keras.objectives` joins metrics to one "
            f"reward. Received: objective={objective}"
        )
    if not isinstance(objective, str):
        return objective
    direction = _direction(objective)
    if direction is None:
        raise ValueError(
            f"Whether the metric {objective!r} is to be maximized or minimized "
            "is not known: give its direction, keras_tuner.Objective("
            f'{objective!r}, "max") or keras_tuner.Objective({objective!r}, '
            '"min").'
        )
    return keras_tuner.Objective(objective, direction)


def _direction(name):
    plain = name.removeprefix("val_").removeprefix("weighted_")
    if plain in _MAXIMIZED:
        return "max"
    if _ERROR.search(plain):
        return "min"
    try:
        rule = keras_tuner.engine.metrics_tracking.infer_metric_direction(name)
    except TypeError:  # A metric that takes arguments.
        return None
    return rule if rule == "max" else None
