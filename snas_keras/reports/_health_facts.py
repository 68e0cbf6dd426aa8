"""Facts of a supernet for the health checks."""

import dataclasses
from typing import Any

import keras

from snas_keras import layers
from snas_keras._utils import graph


@dataclasses.dataclass(frozen=True)
class Facts:
    """What health checks need to know of a supernet, beside its epochs.

    Args:
        choices: {choice name: candidate names}.
        skips: {choice name: names of candidates that do nothing}.
        nones: {choice name: names of candidates that give zero}.
        trained: {choice name: names of candidates that have weights}.
        nodes: {node name: names of the choices of its edges}.
        limits: {cost name: limit}.
    """

    choices: dict[str, tuple[str, ...]]
    skips: dict[str, list[str]]
    nones: dict[str, list[str]]
    trained: dict[str, list[str]]
    nodes: dict[str, list[str]]
    limits: dict[str, float]


def facts_of(supernet: Any) -> Facts:
    """Read the facts off a supernet.

    Args:
        supernet: SuperNet, compiled.

    Returns:
        Facts.
    """
    edges = layers.mixed_edges(supernet.network)
    by_choice = {edge.choice: edge.candidates for edge in edges}
    return Facts(
        choices=supernet.architecture.choices,
        skips=_of_role(by_choice, keras.layers.Identity, "skip"),
        nones=_of_role(by_choice, layers.Zero, "none"),
        trained={
            choice: [n for n, x in candidates.items() if x.trainable_variables]
            for choice, candidates in by_choice.items()
        },
        nodes=_nodes(supernet.network, edges),
        limits={x.resource.name: x.value for x in supernet.limits},
    )


def _of_role(by_choice, kind, word):
    return {
        choice: [
            name
            for name, layer in candidates.items()
            if isinstance(layer, kind) or word in name.lower()
        ]
        for choice, candidates in by_choice.items()
    }


def _nodes(network, edges):
    """Find the sums that only mixed edges flow into."""
    choice_of = {id(edge): edge.choice for edge in edges}
    nodes = {}
    for operation in network.operations:
        # Both the layer and the sign are called so.
        if type(operation).__name__ != "Add":
            continue
        for called_on in graph.sources(operation):
            choices = [choice_of.get(id(x)) for x in called_on]
            if choices and None not in choices:
                nodes[operation.name] = choices
    return nodes
