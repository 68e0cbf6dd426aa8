"""The network of a space, with a mixed edge at every choice."""

from collections.abc import Mapping
from typing import Any

import keras

from snas_keras import layers
from snas_keras.spaces import _space


def as_network(
    space: _space.SearchSpace,
    genotype: Mapping[str, str] | None = None,
    single_path: bool = False,
) -> keras.Model:
    """Build the network of a space, with a `MixedEdge` at every choice.

    Supernet and child are both made of it, so that they cannot drift apart.

    Args:
        space: SearchSpace.
        genotype: {choice name: candidate name}: its candidates alone are made.
            Default None: all are.
        single_path: bool, as for `MixedEdge`, default False.

    Returns:
        keras.Model, [inputs, {choice name: weights}] -> outputs.

    Raises:
        TypeError: the program did not return (inputs, outputs), or a candidate
            is no layer.
        ValueError: candidates that do not fit, or a choice that no output
            depends on.
    """
    choices = space.choices()
    if genotype is not None:
        choices = {name: (genotype[name],) for name in choices}
    unique = _space.unique_names()
    weights = {
        name: keras.Input(
            batch_shape=(len(candidates),),
            dtype="float32",
            name=unique(f"z_{name}"),
        )
        for name, candidates in choices.items()
    }

    def choose(name: str, candidates: Mapping[str, Any]) -> Any:
        made = {key: candidates[key] for key in choices[name]}
        made = layers.check_candidates(name, made)
        edge = layers.MixedEdge(made, name, single_path, name=unique(name))

        def call(*args: Any, **kwargs: Any) -> Any:
            inputs, edge.is_spread = layers.joined(args, kwargs)
            return edge(inputs, weights[name])

        return layers.Choice(name, call)

    inputs, outputs = _space.as_functional(space, choose)
    network = keras.Model([inputs, weights], outputs, name=space.name)
    _refuse_unused(choices, network)
    return network


def _refuse_unused(choices, network):
    used = {edge.choice for edge in layers.mixed_edges(network)}
    unused = [name for name in choices if name not in used]
    if unused:
        raise ValueError(
            "Every choice must lead to an output. Nothing depends on "
            f"{unused}: connect them, or leave them out of the program. A "
            "choice is called in the program itself, not within a layer, a "
            "Lambda or an activation."
        )
