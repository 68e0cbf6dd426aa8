"""Pareto front and hypervolume."""

import dataclasses
import os
import typing
from collections.abc import Sequence

import numpy as np

from snas_keras._utils import plots, report_files, tables
from snas_keras._utils import text as text_lib
from snas_keras.objectives import _rewards

DIRECTIONS = ("max", "min")


def pareto_front(points: typing.Any, directions: Sequence[str]) -> np.ndarray:
    """Find the points that no other point dominates.

    A point dominates another that it equals or betters in every objective and
    betters in one. Of equal points all are kept.

    Args:
        points: array, shape (points, objectives).
        directions: sequence of "max" or "min", one for each objective.

    Returns:
        bool array, shape (points,).

    Raises:
        ValueError: shapes that do not fit, an unknown direction, a point that
            is not finite.

    Example:

    >>> points = [[0.9, 5.0], [0.8, 2.0], [0.7, 3.0]]
    >>> pareto_front(points, ["max", "min"]).tolist()
    [True, True, False]
    """
    smaller = _minimized(points, directions)
    is_dominated = [
        np.any(
            np.all(smaller <= point, axis=1) & np.any(smaller < point, axis=1)
        )
        for point in smaller
    ]
    return ~np.array(is_dominated, bool)


def hypervolume(
    points: typing.Any, directions: Sequence[str], reference: typing.Any
) -> float:
    """Measure the space that the points dominate, up to a reference.

    Points that are not better than the reference in every objective count
    nothing.

    Args:
        points: array, shape (points, objectives).
        directions: sequence of "max" or "min", one for each objective.
        reference: array, shape (objectives,), the worst values that count.

    Returns:
        float, a volume in the product of the objectives' units.

    Raises:
        ValueError: as for `pareto_front`.

    Example:

    >>> hypervolume([[4.0, 5.0], [2.0, 2.0]], ["max", "min"], [1.0, 10.0])
    18.0
    """
    smaller = _minimized(points, directions)
    corner = _minimized([reference], directions)[0]
    inside = smaller[np.all(smaller < corner, axis=1)]
    return float(_volume(inside, corner))


def _volume(points, corner):
    """Slice along the last objective; each slab has the volume of the rest."""
    if not len(points):
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    ends = [*points[1:, -1], corner[-1]]
    return sum(
        (end - point[-1]) * _volume(points[: i + 1, :-1], corner[:-1])
        for i, (point, end) in enumerate(zip(points, ends, strict=True))
        if end > point[-1]
    )


def _minimized(points, directions):
    """Return the points with every objective to be minimized."""
    points = np.array(points, "float64").reshape(-1, len(directions))
    if set(directions) - set(DIRECTIONS):
        raise ValueError(
            f"Directions must be of {DIRECTIONS}. Received: {list(directions)}"
        )
    if not np.isfinite(points).all():
        raise ValueError("Points must be finite.")
    return points * [-1.0 if d == "max" else 1.0 for d in directions]


@dataclasses.dataclass(frozen=True)
class ParetoReport:
    """The Pareto set among named points, as table, JSON and picture.

    Args:
        directions: {objective: "max" or "min"}, in the order of the columns.
        points: {name: {objective: float}}.
        reference: {objective: float}, the worst values that count, default the
            worst of all points in each objective.

    Raises:
        ValueError: there are no points, one lacks an objective or is not
            finite, or a direction is neither "max" nor "min".

    Example:

    >>> report = ParetoReport(
    ...     {"accuracy": "max", "flops": "min"},
    ...     {
    ...         "a": {"accuracy": 0.9, "flops": 5.0},
    ...         "b": {"accuracy": 0.8, "flops": 2.0},
    ...         "c": {"accuracy": 0.7, "flops": 9.0},
    ...     },
    ... )
    >>> report.front
    ['b', 'a']
    """

    directions: dict
    points: dict
    reference: dict | None = None

    def __post_init__(self):
        if not self.points:
            raise ValueError("There must be at least one point.")
        for values in self.points.values():
            _rewards.check_metrics(values, self.directions)
        rows = [*self._rows(), self._reference()]
        _minimized(rows, [*self.directions.values()])

    @property
    def front(self) -> list[str]:
        """Return the names of the Pareto set, ordered by the last objective."""
        is_kept = pareto_front(self._rows(), [*self.directions.values()])
        names = [
            n for n, kept in zip(self.points, is_kept, strict=True) if kept
        ]
        last = list(self.directions)[-1]
        return sorted(names, key=lambda name: self.points[name][last])

    @property
    def hypervolume(self) -> float:
        """Return the dominated volume up to the reference."""
        directions = [*self.directions.values()]
        return hypervolume(self._rows(), directions, self._reference())

    def _rows(self):
        return [[v[o] for o in self.directions] for v in self.points.values()]

    def _reference(self):
        if self.reference is not None:
            return [self.reference[o] for o in self.directions]
        worst = {"max": min, "min": max}
        return [
            worst[direction](v[o] for v in self.points.values())
            for o, direction in self.directions.items()
        ]

    def parts(self) -> list[str | tables.Table]:
        """Return a verdict, and the Pareto set as a table."""
        names = list(self.directions)
        rows = [
            (name, *(text_lib.number(self.points[name][o]) for o in names))
            for name in self.front
        ]
        reference = ", ".join(text_lib.number(v) for v in self._reference())
        return [
            f"{len(self.front)} of {len(self.points)} children are not "
            f"dominated. Hypervolume up to ({reference}): "
            f"{text_lib.number(self.hypervolume)}",
            tables.Table(("Pareto set", *names), rows, "The Pareto set."),
        ]

    def table(self) -> str:
        """Return a verdict and the Pareto set in Markdown."""
        return tables.document(self.parts())

    def figure(self) -> typing.Any:
        """Draw the first objective over the last.

        Returns:
            matplotlib figure.

        Raises:
            ModuleNotFoundError: matplotlib is missing.
        """
        return _scatter(self)

    def save(self, path: str | os.PathLike) -> None:
        """Write JSON, and beside it the table and a scatter plot.

        Args:
            path: path of the JSON file; the others have the suffixes .md and
                .png.

        Raises:
            ModuleNotFoundError: matplotlib or tabulate is missing.
        """
        content = {
            **dataclasses.asdict(self),
            "front": self.front,
            "hypervolume": self.hypervolume,
        }
        report_files.write(path, content, self.table(), self.figure())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ParetoReport":
        """Read the JSON file that `save` wrote.

        Args:
            path: path of the JSON file.

        Returns:
            ParetoReport.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or no such report.
        """
        return report_files.read(path, cls)


def _scatter(report):
    figure = plots.new_figure(figsize=(6, 4))
    axes = figure.subplots()
    directions = list(report.directions)
    first, last = directions[0], directions[-1]
    on_front = set(report.front)
    others = [v for n, v in report.points.items() if n not in on_front]
    front = [report.points[name] for name in report.front]
    axes.plot(
        [v[last] for v in others],
        [v[first] for v in others],
        "o",
        color="#999999",
        label="dominated",
    )
    axes.plot(
        [v[last] for v in front],
        [v[first] for v in front],
        "o-",
        color="#0072B2",
        drawstyle="steps-post",
        label="Pareto set",
    )
    names = plots.labels([first, last])
    axes.set_xlabel(f"{names[last]} ({report.directions[last]})")
    axes.set_ylabel(f"{names[first]} ({report.directions[first]})")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
