"""Snapshot of the decisions of a supernet."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from snas_keras import costs as costs_lib
from snas_keras import supernet as supernet_lib
from snas_keras.reports import _direction, _json, _records


class Snapshot:
    """Read off a supernet what its search has decided so far.

    Args:
        supernet: SuperNet, compiled.
        costs: sequence of str or function (layer, input_shape) -> float, that
            are followed beside the compiled ones. Default none.

    Raises:
        TypeError: `supernet` is no SuperNet, or a cost does not know a layer.
    """

    def __init__(self, supernet: Any, costs: Sequence[str | Callable] = ()):
        if not isinstance(supernet, supernet_lib.SuperNet):
            raise TypeError(
                "Only a search can be watched: fit a SuperNet. Received: "
                f"{type(supernet).__name__} {supernet.name!r}"
            )
        self.supernet = supernet
        self.costs = dict(supernet.penalties.costs)
        for cost in costs:
            read = costs_lib.ChildCost(supernet, cost)
            self.costs.setdefault(read.name, read)
        self.limits = {
            limit.resource.name: limit.value for limit in supernet.limits
        }

    def search(self) -> _records.Search:
        """Return what does not change during the search."""
        choices = self.supernet.architecture.choices
        return _records.Search(
            name=self.supernet.network.name,
            choices={name: list(c) for name, c in choices.items()},
            costs={
                name: _records.CostBounds(
                    float(cost.minimum),
                    float(cost.maximum),
                    self.limits.get(name),
                )
                for name, cost in self.costs.items()
            },
            versions={
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
            directions=_direction.directions(self.supernet),
        )

    def epoch(
        self,
        epoch: int,
        logs: Mapping[str, Any] | None = None,
        seconds: float = 0.0,
    ) -> _records.Epoch:
        """Return what the supernet would decide now.

        Args:
            epoch: int, from 0.
            logs: {metric: value}, what Keras gives a callback. Default none.
            seconds: float, that the epoch took, default 0.0.

        Returns:
            Epoch. Where logits are not finite, it has no genotype, and the
            probabilities and costs are NaN.
        """
        architecture = self.supernet.architecture
        distribution, genotype = _decided(self.supernet)
        probabilities = distribution and distribution.probabilities()
        nothing = dict.fromkeys(architecture.choices, math.nan)
        return _records.Epoch(
            epoch=epoch,
            seconds=round(seconds, 3),
            logs=self._ordered(logs or {}),
            temperature=float(architecture.temperature),
            probabilities=_probabilities(architecture),
            entropy=distribution.entropy() if distribution else nothing,
            margin=distribution.margin() if distribution else nothing,
            credit={
                name: _records.CandidateCredit(**_lists(values))
                for name, values in self.supernet.credit.values().items()
            },
            costs=self._costs(probabilities, genotype),
            genotype=genotype,
            steps=int(self.supernet.step),
        )

    def _ordered(self, logs):
        """Return logs in the order in which the metrics were compiled."""
        known = _direction.metric_names(self.supernet)
        order = [*known, *(f"val_{name}" for name in known)]
        names = [n for n in order if n in logs] + list(logs)
        return {name: _json.plain(logs[name]) for name in names}

    def _costs(self, probabilities, genotype):
        weights = self.supernet.penalties.current_weights()
        return {
            name: _records.CostState(
                expected=float(cost.expected(probabilities))
                if probabilities
                else math.nan,
                child=float(cost(genotype)) if genotype else math.nan,
                weight=weights.get(name),
            )
            for name, cost in self.costs.items()
        }


def _probabilities(architecture):
    """Return {choice name: list of float}, NaN where logits are not finite."""
    found = {}
    for name, candidates in architecture.choices.items():
        logits = ops.convert_to_numpy(architecture.logits[name])
        if _is_finite(logits):
            one = supernet_lib.Distribution({name: candidates}, {name: logits})
            found[name] = one.probabilities()[name].tolist()
        else:
            found[name] = [math.nan] * len(candidates)
    return found


def _is_finite(logits):
    return bool(np.isfinite(ops.convert_to_numpy(logits)).all())


def _decided(supernet):
    """Return (Distribution, genotype), both None if a logit is not finite."""
    if not all(map(_is_finite, supernet.architecture.logits.values())):
        return None, None
    distribution = supernet.architecture.distribution()
    return distribution, dict(supernet.derive())


def _lists(values):
    return {key: np.asarray(value).tolist() for key, value in values.items()}
