"""Differentiable resource penalties on the cost of the child network."""

import warnings
from typing import Any

import keras

from snas_keras import costs as costs_lib
from snas_keras._utils import budget, checks

FORMS = ("linear", "log")
GRADIENTS = ("expected", "pathwise", "score_function")
# Of version 0.1, where the argument was called `estimator`.
_OLD_GRADIENTS = {"sample": "pathwise"}


@keras.saving.register_keras_serializable(package="snas_keras")
class Resource:
    """A penalty on a cost of the child network.

    With c[e, k] the cost of candidate k on edge e and w the weights of the
    choices:

        linear:  weight * sum_e sum_k w_k c[e, k] / (most expensive child)
        log:     weight * sum_choice mean_(e of choice) log(sum_k w_k c[e, k])

    The linear form lies between 0 and `weight`, whatever the unit of the cost.
    The log form is the paper's code's: its three costs are three resources, a
    third of the weight each; an edge whose cost is below one counts as one.

    What w is, and how its gradient reaches the logits, `gradient` says:
    "expected" takes the probabilities, which is exact and has no noise;
    "pathwise" the draw of the step, with the gradient through it;
    "score_function" the draw held constant, times the score of its density,
    for costs that no gradient should flow through.

    Args:
        cost: str or function (layer, input_shape) -> float, one of
            `snas_keras.COSTS`.
        weight: float, not negative, in units of the task loss (nats for a
            cross-entropy). Under a limit it is where the weight begins, default
            0.1.
        form: str, "linear" or "log", default "linear".
        gradient: str, "expected", "pathwise" or "score_function", default
            "expected", which has no variance.
        name: str, in the logs, default the cost's name.
        limit: float, in the cost's unit, or str such as "60%", of the most
            expensive child: what a child may cost, its fixed part included. The
            weight then rises and falls until the child keeps it. Default None.
        rate: float, how fast the weight moves under a limit: by at most this
            share a step, default 0.02.
        estimator: str, the former name of `gradient`, deprecated.

    Raises:
        ValueError: an argument is not among the allowed ones, or there is
            neither a weight nor a limit.

    Example:

    >>> Resource("flops", weight=0.5)
    Resource('flops', weight=0.5, form='linear', gradient='expected')
    """

    def __init__(
        self,
        cost: Any,
        weight: float | None = None,
        form: str = "linear",
        gradient: str = "expected",
        name: str | None = None,
        limit: float | str | None = None,
        rate: float = 0.02,
        estimator: str | None = None,
    ):
        if estimator is not None:
            gradient = _renamed(estimator)
        self.cost = costs_lib.get(cost)
        self.limit = None if limit is None else budget.check_limit(limit)
        self.weight = _check_weight(weight, limit)
        self.rate = _check_rate(rate)
        self.form = checks.one_of("form", form, FORMS)
        self.gradient = checks.one_of("gradient", gradient, GRADIENTS)
        self.name = name or costs_lib.cost_name(cost)

    def get_config(self) -> dict[str, Any]:
        return {
            "cost": _serialize_cost(self.cost),
            "weight": self.weight,
            "form": self.form,
            "gradient": self.gradient,
            "name": self.name,
            "limit": self.limit,
            "rate": self.rate,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Resource":
        cost = config["cost"]
        if isinstance(cost, dict):
            cost = keras.saving.deserialize_keras_object(cost)
        config = {**config, "cost": cost}
        if "estimator" in config:
            old = config.pop("estimator")
            config["gradient"] = _OLD_GRADIENTS.get(old, old)
        return cls(**config)

    def __repr__(self) -> str:
        limit = f", limit={self.limit!r}" if self.limit is not None else ""
        return (
            f"Resource({self.name!r}, weight={self.weight}, "
            f"form={self.form!r}, gradient={self.gradient!r}{limit})"
        )


def _renamed(estimator):
    warnings.warn(
        '`Resource(estimator=...)` is now `gradient=`, and "sample" is '
        '"pathwise"; the old name goes with the next minor version.',
        DeprecationWarning,
        stacklevel=3,
    )
    return _OLD_GRADIENTS.get(estimator, estimator)


def check_resources(resource: Any, architecture: Any) -> list["Resource"]:
    """Return a list of Resource, or refuse what cannot be that.

    Args:
        resource: None, Resource or sequence of Resource.
        architecture: Architecture they are for.

    Returns:
        list of Resource.

    Raises:
        TypeError: an entry is not a Resource.
        ValueError: two have one name, or a score function has no density.
    """
    if resource is None:
        return []
    found = resource if isinstance(resource, (list, tuple)) else [resource]
    for entry in found:
        if not isinstance(entry, Resource):
            raise TypeError(
                "`resource` must be a Resource or a list of them. Received: "
                f"{entry!r}"
            )
        if entry.gradient == "score_function":
            architecture.score_function()
    names = [entry.name for entry in found]
    if len(set(names)) < len(names):
        raise ValueError(
            "Every resource needs a name of its own; give `name=`. Received: "
            f"{names}"
        )
    return list(found)


def _check_weight(weight, limit):
    if weight is None and limit is not None:
        return 0.1
    is_number = weight is not None and 0 <= float(weight) < float("inf")
    if not is_number or (limit is not None and weight == 0):
        raise ValueError(
            "`weight` must be finite and not negative, and above zero under a "
            f"limit. Received: weight={weight}"
        )
    return float(weight)


def _check_rate(rate):
    if not 0.0 < float(rate) <= 1.0:
        raise ValueError(
            f"`rate` must be above 0 and at most 1. Received: rate={rate}"
        )
    return float(rate)


def _serialize_cost(cost):
    for name, function in costs_lib.COSTS.items():
        if function is cost:
            return name
    return keras.saving.serialize_keras_object(cost)
