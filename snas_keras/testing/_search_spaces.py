"""Conformance check of factories of search spaces."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from snas_keras import children as children_lib
from snas_keras import spaces
from snas_keras import supernet as supernet_lib
from snas_keras.testing._promise import (
    check_close,
    check_same_shapes,
    promised,
    require,
    unjudged,
)

_SIDE = 8


def check_search_space(
    factory: str | Callable[..., Any], **small_options: Any
) -> None:
    """Check what every search space promises.

    Its choices do not change from call to call; its supernet trains; the child
    that `convert` cuts out answers as the supernet does; and random genotypes
    build.

    Args:
        factory: str or function (**options) -> SearchSpace, one of
            `snas_keras.SEARCH_SPACES`.
        **small_options: options that make the space small enough for a test.

    Raises:
        AssertionError: a promise is broken.
        KeyError: there is no search space of that name.
    """
    if isinstance(factory, str):
        factory = spaces.SEARCH_SPACES[factory]
    subject = f"Search space {factory!r}"
    with promised(subject, "have choices that stay the same"):
        space = _check_choices(factory, small_options)
    with promised(subject, "train as a supernet with a finite loss"):
        trained, x = fit_supernet(space)
    with promised(subject, "convert to a child that equals the mode"):
        check_close(children_lib.convert(trained)(x), trained(x))
    with promised(subject, "build a child of any genotype"):
        for seed in range(3):
            model = children_lib.build_child(space, space.random_genotype(seed))
            check_same_shapes(model(x), trained(x))


def _check_choices(factory, options):
    space = factory(**options)
    require(
        isinstance(space, spaces.SearchSpace), f"It made {space!r}, no space."
    )
    found = space.choices()
    again = factory(**options).choices()
    require(found == again, f"It gave first {found}, then {again}.")
    product = math.prod(len(candidates) for candidates in found.values())
    require(
        space.size() == product, f"size() is {space.size()}, not {product}."
    )
    return space


def fit_supernet(space: Any, resource: Any = None) -> tuple[Any, Any]:
    """Train a supernet for one step, whose loss must be finite.

    Args:
        space: SearchSpace.
        resource: Resource or list of them, default none.

    Returns:
        (SuperNet, its inputs).
    """
    net = supernet_lib.build_supernet(space)
    generator = np.random.default_rng(0)
    x = keras.tree.map_structure(
        lambda i: generator.random((2, *[n or _SIDE for n in i.shape[1:]])),
        net.network.input[0],
    )
    y = keras.tree.map_structure(np.zeros_like, net(x))
    losses = keras.tree.map_structure(lambda _: "mse", y)
    net.compile("sgd", loss=losses, resource=resource)
    with unjudged():
        history = net.fit(x, y, verbose=0).history
    for name, (value,) in history.items():
        require(math.isfinite(value), f"{name} is {value}.")
    return net, x
