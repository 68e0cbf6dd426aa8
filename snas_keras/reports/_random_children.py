"""Random children of nearly the same cost as a given one."""

from typing import Any

import numpy as np

from snas_keras import spaces

# Nats for the whole range of costs; below zero, expensive candidates are
# likelier.
_CHARGES = np.concatenate([s * np.geomspace(0.01, 1e3, 128) for s in (-1, 1)])


def nearest_in_cost(
    price: Any, derived: Any, count: int, seed: int
) -> list[spaces.Genotype]:
    """Draw other children at random; return the different ones nearest in cost.

    Even draws of a large space have nearly all the same cost. So as many again
    are drawn under a charge that makes their mean cost that of the child; all
    children of one cost stay equally likely.

    Args:
        price: ChildCost.
        derived: Genotype, of the child that they are compared with.
        count: int, how many; a small space has fewer.
        seed: int.

    Returns:
        list of Genotype, the nearest in cost first.
    """
    generator = np.random.default_rng(seed)
    cost = price(derived)
    charged = min(
        (_probabilities(price, charge) for charge in _CHARGES),
        key=lambda p: abs(price.expected(p) - cost),
    )
    genotypes = {}
    for p in (_probabilities(price), charged):
        drawn = {
            name: generator.choice(candidates, 100 * count, p=p[name])
            for name, candidates in price.choices.items()
        }
        for names in zip(*drawn.values(), strict=True):
            genotype = dict(zip(drawn, map(str, names), strict=True))
            genotypes[spaces.Genotype(genotype)] = None
    others = [genotype for genotype in genotypes if genotype != derived]
    return sorted(others, key=lambda g: abs(price(g) - cost))[:count]


def _probabilities(price, charge=0.0):
    """Return even probabilities less a charge on costs, in nats a range.

    p_k = exp(-charge c_k / range) / sum_j exp(-charge c_j / range)
    """
    span = (price.maximum - price.minimum) or 1.0
    scores = {
        name: np.exp(
            -charge * (row - (row.min() if charge > 0 else row.max())) / span
        )
        for name, row in price.rows.items()
    }
    return {name: score / score.sum() for name, score in scores.items()}
