"""Building the supernet of a search space."""

from typing import Any

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
    network = spaces.as_network(
        space, single_path=architecture.estimator.runs_one_path
    )
    _try_copies(network)
    return _supernet.SuperNet(network, architecture, recompute)


def _try_copies(network):
    """Refuse now what no child could be made of at the end of the search.

    Only layers of the user's own, lambdas, and layers with assets, whose tables
    Keras cannot always load again, may fail to be copied.
    """
    for layer in network.layers:
        if isinstance(layer, layers.MixedEdge):
            for name, candidate in layer.candidates.items():
                place = f"candidate {name!r} of choice {layer.choice!r}"
                _try_copy(candidate, place)
        else:
            _try_copy(layer, f"layer {layer.name!r}")


def _try_copy(layer, place):
    if not (layers.is_own_to_user(layer) or layers.has_assets(layer)):
        return
    try:
        layers.to_stock(layer)
    except ValueError as error:
        raise ValueError(f"No child can be made of {place}: {error}") from error
