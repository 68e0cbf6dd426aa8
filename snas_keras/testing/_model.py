"""A search space with data and a loss, trained for an epoch."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snas_keras import layers
from snas_keras import supernet as supernet_lib
from snas_keras.testing._promise import require, unjudged

_GENOTYPES = 2
_STEPS = 2


@dataclasses.dataclass(frozen=True)
class Model:
    """A space with the data and the loss to try it with."""

    space: Any
    x: Any
    y: Any
    loss: Any

    def tensors(self, supernet):
        """Return the inputs as tensors of the dtypes that are declared."""
        declared, _ = supernet.network.input
        return keras.tree.map_structure(_tensor, declared, self.x)

    def genotypes(self, supernet):
        """Return the derived genotype and some at random."""
        random = [self.space.random_genotype(n) for n in range(_GENOTYPES)]
        return [supernet.derive(), *random]

    def trained_supernet(self, estimator):
        """Return a supernet after an epoch in which everything has moved."""
        keras.utils.set_random_seed(0)
        supernet = supernet_lib.build_supernet(self.space, estimator)
        # Adam moves whatever has a gradient by its rate.
        supernet.compile(
            keras.optimizers.Adam(1e-3),
            keras.optimizers.Adam(1e-2),
            loss=self.loss,
        )
        idle = _idle_variables(supernet)
        before = values(supernet.trainable_variables)
        self.fit(supernet)
        for variable, value in zip(
            supernet.trainable_variables, before, strict=True
        ):
            has_moved = not np.array_equal(variable, value)
            if id(variable) not in idle:
                require(has_moved, f"{variable.path} has not moved.")
            elif supernet.architecture.estimator.runs_one_path:
                require(not has_moved, f"{variable.path} moved, but never ran.")
        return supernet

    def fit(self, model):
        """Train for an epoch of some batches, which must stay finite."""
        size = math.ceil(len(keras.tree.flatten(self.x)[0]) / _STEPS)
        options = {"batch_size": size, "shuffle": False, "verbose": 0}
        with unjudged():
            history = model.fit(self.x, self.y, **options).history
        for name, (value,) in history.items():
            require(math.isfinite(value), f"{name} is {value}.")
        for variable in model.trainable_variables:
            is_finite = np.isfinite(np.asarray(variable, "float64")).all()
            require(is_finite, f"{variable.path} is not finite.")

    def loss_of(self, model, **options):
        """Return the loss of a compiled model on the data."""
        logs = model.evaluate(
            self.x, self.y, verbose=0, return_dict=True, **options
        )
        return logs["loss"]


def _tensor(declared, value):
    tensor = tf.convert_to_tensor(value)
    if declared.dtype == "string":
        return tensor
    return tf.cast(tensor, declared.dtype)


def values(variables):
    """Return copies of variables, as a list of arrays."""
    return [np.array(v) for v in variables]


def _idle_variables(supernet):
    """Return the ids of weights of candidates that no step draws."""
    architecture = supernet.architecture
    draws = [architecture.sample(step) for step in range(_STEPS)]
    idle = set()
    for edge in layers.mixed_edges(supernet.network):
        used = sum(np.array(z[edge.choice]) for z in draws) > 0
        for is_used, layer in zip(used, edge.candidates.values(), strict=True):
            if not is_used:
                idle.update(id(v) for v in layer.trainable_variables)
    for name, candidates in architecture.choices.items():
        if len(candidates) == 1:
            idle.add(id(architecture.logits[name]))
    return idle
