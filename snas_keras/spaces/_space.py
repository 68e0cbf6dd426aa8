"""Search spaces: programs that leave some of their layers to a choice."""

import functools
import inspect
import math
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from snas_keras import layers
from snas_keras._utils import graph
from snas_keras._utils import names as names_lib
from snas_keras.spaces import _genotype


def search_space(
    function: Callable[..., tuple[Any, Any]],
) -> Callable[..., "SearchSpace"]:
    """Turn a function f(choose, **options) into a maker of search spaces.

    The function builds a Keras functional network and returns (inputs,
    outputs). Wherever a layer is to be searched it calls
    `choose(name, {candidate name: layer})` and uses the result as a layer. The
    same name again is the same decision. Which names there are must not depend
    on what is chosen.

    Args:
        function: callable (choose, **options) -> (inputs, outputs); every
            option needs a default.

    Returns:
        Callable (**options) -> SearchSpace.

    Raises:
        TypeError: the first parameter is not named `choose`.

    Example:

    >>> @search_space
    ... def tiny(choose, units=4):
    ...     x = inputs = keras.Input((8,))
    ...     for block in ("block_0", "block_1"):
    ...         x = choose(block, {"dense": keras.layers.Dense(8),
    ...                            "skip": keras.layers.Identity()})(x)
    ...     return inputs, keras.layers.Dense(units)(x)
    >>> tiny(units=2).choices()
    {'block_0': ('dense', 'skip'), 'block_1': ('dense', 'skip')}
    >>> tiny().size()
    4
    """
    parameters = list(inspect.signature(function).parameters)
    if not parameters or parameters[0] != "choose":
        raise TypeError(
            "A search space is a function whose first parameter is `choose`. "
            f"Received: {function!r} with parameters {parameters}"
        )

    @functools.wraps(function)
    def make(**options: Any) -> SearchSpace:
        return SearchSpace(function, **options)

    vars(make)["__signature__"] = _without_choose(function)
    return make


class SearchSpace:
    """A search space with its options: a set of child networks.

    Args:
        function: callable (choose, **options) -> (inputs, outputs).
        **options: given to the function.

    Call arguments:
        choose: callable (name, candidates) -> callable on tensors.

    Returns:
        (inputs, outputs), Keras tensors or structures of them.

    Raises:
        TypeError: an option is not one of the function's.
    """

    def __init__(
        self, function: Callable[..., tuple[Any, Any]], **options: Any
    ):
        signature = _without_choose(function)
        try:
            signature.bind(**options)
        except TypeError as error:
            raise TypeError(
                f"Search space {function.__name__!r}: {error}. Its options are "
                f"{list(signature.parameters)}"
            ) from error
        self.function = function
        self.options = options
        self.name = names_lib.scope_name(function.__name__)

    def __call__(self, choose: Callable[..., Any]) -> tuple[Any, Any]:
        inputs, outputs = self.function(_consistent(choose), **self.options)
        return inputs, outputs

    def with_options(self, **options: Any) -> "SearchSpace":
        """Return the same space with some options changed.

        Args:
            **options: new values, passed to the function.

        Returns:
            SearchSpace.

        Raises:
            TypeError: an option is not one of the function's.
        """
        return SearchSpace(self.function, **{**self.options, **options})

    def choices(self) -> dict[str, tuple[str, ...]]:
        """Return {choice name: tuple of candidate names}, in program order."""
        return dict(self._choices)

    @functools.cached_property
    def _choices(self) -> dict[str, tuple[str, ...]]:
        found = {}

        def choose(name, candidates):
            found[name] = tuple(candidates)
            first = next(iter(candidates))
            layer = layers.as_layer(name, first, candidates[first])

            def call(*args, **kwargs):
                inputs, is_spread = layers.joined(args, kwargs)
                args, kwargs = layers.arguments(layer, inputs, is_spread)
                return layer(*args, **kwargs)

            return layers.Choice(name, call)

        # Keras seeds initializers with Python's generator; to look at a space
        # must not change the weights that are made afterwards.
        state = random.getstate()
        try:
            self(choose)
        finally:
            random.setstate(state)
        return names_lib.check_choices(found)

    def size(self) -> int:
        """Return the number of child networks, prod_choice K_choice."""
        return math.prod(len(c) for c in self._choices.values())

    def random_genotype(self, seed: int) -> _genotype.Genotype:
        """Draw a child network uniformly.

        Args:
            seed: int.

        Returns:
            Genotype.
        """
        generator = np.random.default_rng(seed)
        return _genotype.Genotype(
            {
                name: candidates[generator.integers(len(candidates))]
                for name, candidates in self._choices.items()
            }
        )

    def __repr__(self) -> str:
        options = "".join(f", {k}={v!r}" for k, v in self.options.items())
        return f"SearchSpace({self.name}{options})"


def check_space(space: Any) -> SearchSpace:
    """Return `space`, or raise TypeError if it is not a SearchSpace.

    Args:
        space: what was given.
    """
    if not isinstance(space, SearchSpace):
        raise TypeError(
            "Expected a SearchSpace; make one by calling the function that "
            f"@search_space decorates. Received: {space!r}"
        )
    return space


def unique_names() -> Callable[[str], str]:
    """Return a function that makes layer names of choices, each only once.

    A name seen before gets _1, _2, ... appended.
    """
    seen = {}

    def unique(name):
        name = names_lib.scope_name(name)
        seen[name] = seen.get(name, -1) + 1
        return f"{name}_{seen[name]}" if seen[name] else name

    return unique


def _consistent(choose):
    """Refuse the same choice name with other candidates."""
    seen = {}

    def checked(name, candidates):
        if not hasattr(candidates, "items"):
            layers.check_candidates(name, candidates)
        names = names_lib.check_choice(name, candidates)
        if seen.setdefault(name, names) != names:
            raise ValueError(
                f"Choice {name!r} is used with two lists of candidates. "
                f"Received: {list(seen[name])} and {list(names)}"
            )
        return choose(name, candidates)

    return checked


def _without_choose(function):
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1:]
    return signature.replace(parameters=parameters)


def as_functional(
    space: SearchSpace, choose: Callable[..., Any]
) -> tuple[Any, Any]:
    """Run a search space's program and return what it built.

    Args:
        space: SearchSpace.
        choose: callable (name, candidates) -> callable on tensors.

    Returns:
        (inputs, outputs), Keras tensors or structures of them.

    Raises:
        TypeError: the program did not return (inputs, outputs).
        ValueError: a choice stands in a model within the program.
    """
    names = []

    def noted(name: str, candidates: Any) -> Any:
        names.append(name)
        return choose(name, candidates)

    try:
        inputs, outputs = space(noted)
    except ValueError as error:
        if names and "not connected" in str(error):
            raise ValueError(
                f"Search space {space.name!r}: a choice cannot stand in a "
                "keras.Model of its own within the program, for its weights "
                "come from outside. Write that part as a function that takes "
                "and returns tensors. Received, as the last choice before: "
                f"{names[-1]!r}. {error}"
            ) from error
        raise
    for tensor in keras.tree.flatten((inputs, outputs)):
        if not isinstance(tensor, keras.KerasTensor):
            raise TypeError(
                f"Search space {space.name!r} must return (inputs, outputs), "
                f"both Keras tensors. Received: {tensor!r}"
            )
    _rename_edges(outputs)
    return inputs, outputs


def _rename_edges(outputs):
    """Give an edge another name where a layer or an input has its own."""
    found = graph.operations(outputs)
    edges = [x for x in found if isinstance(x, layers.MixedEdge)]
    taken = {x.name for x in found if not isinstance(x, layers.MixedEdge)}
    for edge in edges:
        name, number = edge.name, 0
        while edge.name in taken:
            number += 1
            edge.name = f"{name}_choice_{number}"
        taken.add(edge.name)
