"""Building the supernet of a search space."""

from typing import Any

import keras

from snas_keras import layers, spaces
from snas_keras.supernet import _architecture, _supernet


def build_supernet(
    space: spaces.SearchSpace,
    estimator: Any = "relaxed",
    temperature: float = 1.0,
    seed: int = 0,
    recompute: bool = False,
) -> _supernet.SuperNet:
    """Build the supernet of a search space.

    Args:
        space: SearchSpace.
        estimator: str or function, one of `snas_keras.ESTIMATORS`, default
            "relaxed", which is SNAS.
        temperature: float above zero, default 1.0 as in the paper.
        seed: int, of the architecture's draws, default 0. The initial weights
            follow `keras.utils.set_random_seed`.
        recompute: bool, whether every edge is computed again in the backward
            pass in place of keeping what its candidates computed: less memory,
            more time. Default False. Several replicas do without it.

    Returns:
        SuperNet, not compiled.

    Raises:
        TypeError: `space` is not a SearchSpace, or a candidate not a layer.
        ValueError: the space has no choice, or candidates that do not fit.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> supernet = build_supernet(space)
    >>> supernet(np.zeros((2, 8, 8, 1))).shape
    TensorShape([2, 10])
    """
    choices = spaces.check_space(space).choices()
    architecture = _architecture.Architecture(
        choices, estimator, temperature, seed
    )
    unique = spaces.unique_names()
    weights = {
        name: keras.Input(
            batch_shape=(len(candidates),),
            dtype="float32",
            name=unique(f"z_{name}"),
        )
        for name, candidates in choices.items()
    }
    single_path = architecture.estimator.runs_one_path

    def choose(name, candidates):
        candidates = layers.check_candidates(name, candidates)
        edge = layers.MixedEdge(
            candidates, name, single_path, name=unique(name)
        )

        def call(*args, **kwargs):
            inputs, edge.is_spread = layers.joined(args, kwargs)
            return edge(inputs, weights[name])

        return layers.Choice(name, call)

    inputs, outputs = spaces.as_functional(space, choose)
    network = keras.Model([inputs, weights], outputs, name=space.name)
    return _supernet.SuperNet(network, architecture, recompute)
