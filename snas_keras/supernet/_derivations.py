"""Derivations: rules that name the child of a searched supernet.

To add one, write a function (supernet) -> Genotype, and a line in
`DERIVATIONS`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from snas_keras import spaces

_EDGE = re.compile(r"(?P<cell>.*?)_?(?P<source>\d+)->(?P<target>\d+)")
_INPUTS_PER_NODE = 2


def mode(supernet: Any) -> spaces.Genotype:
    """Return the most probable child, whatever it costs.

    Args:
        supernet: SuperNet.

    Returns:
        Genotype; ties go to the first candidate.
    """
    return genotype_of(supernet, supernet.architecture.mode())


def within_limits(supernet: Any) -> spaces.Genotype:
    """Return the most probable child, or a probable one within all limits.

    It is what the supernet answers outside training.

    Args:
        supernet: SuperNet.

    Returns:
        Genotype; ties go to the first candidate.
    """
    return genotype_of(supernet, supernet.mode())


def darts(supernet: Any) -> spaces.Genotype:
    """Return the child by DARTS' own rule: two edges a node, none is `none`.

    Edges into a node are ranked by the probability of their best candidate but
    `none`; the two best stay, with that candidate, and the others take `none`.

    Args:
        supernet: SuperNet of cells, whose choices are called as "0->2" or
            "normal_0->2" and all have a candidate `none` and another.

    Returns:
        Genotype.

    Raises:
        ValueError: the choices are not those of cells.

    Reference:
        Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019,
        https://arxiv.org/abs/1806.09055.
    """
    probabilities = supernet.architecture.distribution().probabilities()
    ranked: dict[Any, list[Any]] = {}
    for name, candidates in supernet.architecture.choices.items():
        found = _EDGE.fullmatch(name)
        if not found or "none" not in candidates or len(candidates) < 2:
            raise ValueError(
                "The derivation 'darts' is for cells: choices named as in "
                "'normal_0->2', with a candidate 'none' and another. Received: "
                f"choice {name!r} with candidates {list(candidates)}"
            )
        pairs = zip(candidates, probabilities[name], strict=True)
        p = {candidate: float(x) for candidate, x in pairs}
        del p["none"]
        best = max(p, key=lambda candidate: p[candidate])
        node = (found["cell"], found["target"])
        ranked.setdefault(node, []).append((p[best], name, best))
    genotype = dict.fromkeys(supernet.architecture.choices, "none")
    for edges in ranked.values():
        edges.sort(key=lambda edge: -edge[0])
        for _, name, best in edges[:_INPUTS_PER_NODE]:
            genotype[name] = best
    return spaces.Genotype(genotype)


DERIVATIONS: dict[str, Callable[[Any], spaces.Genotype]] = {
    "within_limits": within_limits,
    "mode": mode,
    "darts": darts,
}


def get(method: str | Callable[[Any], spaces.Genotype]) -> Callable[..., Any]:
    """Look a derivation up by name; a callable is returned as it is.

    Args:
        method: str, one of `DERIVATIONS`, or a function (supernet) -> Genotype.

    Returns:
        The function.

    Raises:
        ValueError: an unknown name.
    """
    if callable(method):
        return method
    if method not in DERIVATIONS:
        raise ValueError(
            f"There is no such derivation. Received: method={method!r}. "
            f"Allowed: {sorted(DERIVATIONS)} or a function (supernet) -> "
            "Genotype."
        )
    return DERIVATIONS[method]


def genotype_of(supernet: Any, weights: Mapping[str, Any]) -> spaces.Genotype:
    """Return the genotype of the largest weights.

    Args:
        supernet: SuperNet.
        weights: {choice name: tensor, shape (candidates,)}.

    Returns:
        Genotype; ties go to the first candidate.
    """
    return spaces.Genotype(
        {
            name: candidates[int(np.argmax(weights[name]))]
            for name, candidates in supernet.architecture.choices.items()
        }
    )
