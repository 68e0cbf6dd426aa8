"""What a search has decided so far, read off its supernet."""

import math

import keras
import tensorflow as tf

from snas_keras import costs as costs_lib


class Watch:
    """Read off a supernet what a search has decided so far.

    Args:
        supernet: SuperNet, compiled.
        costs: sequence of str or function, beside the compiled ones.
    """

    def __init__(self, supernet, costs=()):
        if not hasattr(supernet, "search_metrics"):
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

    def about(self):
        """Return what does not change during the search."""
        choices = self.supernet.architecture.choices
        return {
            "name": self.supernet.network.name,
            "choices": {name: list(c) for name, c in choices.items()},
            "children": math.prod(len(c) for c in choices.values()),
            "costs": {
                name: {
                    "minimum": cost.minimum,
                    "maximum": cost.maximum,
                    "limit": self.limits.get(name),
                }
                for name, cost in self.costs.items()
            },
            "versions": {
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
        }

    def line(self):
        """Return what the supernet would decide now."""
        architecture = self.supernet.architecture
        distribution = architecture.distribution()
        probabilities = distribution.probabilities()
        genotype = self.supernet.derive()
        weight_of = self.supernet.penalties.current_weights()
        return {
            "temperature": float(architecture.temperature),
            "probabilities": {k: p.tolist() for k, p in probabilities.items()},
            "entropy": distribution.entropy(),
            "margin": distribution.margin(),
            "credit": {
                name: {
                    key: value if key == "edge" else value.tolist()
                    for key, value in found.items()
                }
                for name, found in self.supernet.credit.values().items()
            },
            "costs": {
                name: {
                    "expected": cost.expected(probabilities),
                    "child": cost(genotype),
                    "weight": weight_of.get(name),
                }
                for name, cost in self.costs.items()
            },
            "genotype": dict(genotype),
        }
