"""Report on a search space, before any search."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from snas_keras import costs as costs_lib
from snas_keras import spaces
from snas_keras import supernet as supernet_lib
from snas_keras._utils import tables
from snas_keras._utils import text as text_lib


def space_report(
    space: spaces.SearchSpace, costs: Sequence[Any] = ("parameters", "flops")
) -> "SpaceReport":
    """Count a space's children and what they cost.

    All numbers are exact, for a child's cost is a sum over its choices. The
    layers of all candidates are made once to read them off.

    Args:
        space: SearchSpace.
        costs: sequence of str or function (layer, input_shape) -> float,
            default parameters and multiply-adds.

    Returns:
        SpaceReport.

    Raises:
        TypeError: `space` is not a SearchSpace, or a cost does not know a
            layer's type.

    Example:

    >>> report = space_report(snas_keras.SEARCH_SPACES["digits"](filters=4))
    >>> report.size
    125
    >>> report.costs["parameters"].cheapest["block_0"]
    'skip'
    """
    spaces.check_space(space)
    # Keras seeds initializers with Python's generator: looking changes nothing.
    state = random.getstate()
    try:
        supernet = supernet_lib.build_supernet(space)
    finally:
        random.setstate(state)
    read = [costs_lib.ChildCost(supernet, cost) for cost in costs]
    return SpaceReport(
        name=space.name,
        choices=space.choices(),
        size=space.size(),
        costs={cost.name: _range(cost) for cost in read},
    )


@dataclasses.dataclass(frozen=True)
class CostRange:
    """What the children of a space cost.

    Args:
        minimum: float.
        mean: float, over all children.
        maximum: float.
        cheapest: Genotype; of several the one with the first candidates.
        dearest: Genotype; of several the one with the first candidates.
    """

    minimum: float
    mean: float
    maximum: float
    cheapest: spaces.Genotype
    dearest: spaces.Genotype


@dataclasses.dataclass(frozen=True)
class SpaceReport:
    """What `space_report` has found.

    Args:
        name: str, of the space.
        choices: {choice name: candidate names}.
        size: int, number of children.
        costs: {cost name: CostRange}.
    """

    name: str
    choices: dict
    size: int
    costs: dict

    def table(self) -> str:
        """Return the size of the space and its costs in Markdown."""
        rows = [
            (name, *map(text_lib.number, (x.minimum, x.mean, x.maximum)))
            for name, x in self.costs.items()
        ]
        return tables.document(
            [
                f"Space {self.name}: {len(self.choices)} choices, "
                f"{self.size:,} children.",
                tables.Table(("cost", "minimum", "mean", "maximum"), rows),
            ]
        )


def _range(cost):
    uniform = {
        name: [1.0 / len(row)] * len(row) for name, row in cost.rows.items()
    }
    return CostRange(
        minimum=cost.minimum,
        mean=cost.expected(uniform),
        maximum=cost.maximum,
        cheapest=cost.cheapest,
        dearest=cost.dearest,
    )
