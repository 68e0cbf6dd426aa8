"""The result of `retention_report`: tables, JSON and a picture."""

import dataclasses
import os
from typing import Any

import numpy as np

from snas_keras._utils import checks, plots, report_files, tables
from snas_keras._utils import text as text_lib
from snas_keras.reports import _json

SEARCH = "search, as drawn"
ONE_HOT = "search, one-hot draws"
MODE = "child, as it is"
RECALIBRATED = "child, batch norm recalibrated"
RANDOM = "random children of equal cost"
FINE_TUNED = "child, fine-tuned"


@dataclasses.dataclass(frozen=True)
class RetentionReport:
    """What `retention_report` has measured.

    Args:
        metric: str, name of the metric.
        values: {row: list of float}, one value a draw or child.
        cost: str, name of the cost.
        costs: {"expected": float, "one-hot draws": list of float, "child":
            float, "random children": list of float}, of whole networks.
        direction: "max" or "min", default "max", as in files of the first
            release.
    """

    metric: str
    values: dict[str, list[float]]
    cost: str
    costs: dict[str, Any]
    direction: str = "max"

    def __post_init__(self) -> None:
        checks.one_of("direction", self.direction, ("max", "min"))
        for values in self.values.values():
            if not values:
                raise ValueError("Every row must have a value.")
            np.asarray(values, "float64")
        if SEARCH not in self.values or MODE not in self.values:
            raise ValueError(
                f"There must be rows {SEARCH!r} and {MODE!r}. Received: "
                f"{list(self.values)}"
            )

    @property
    def gap(self) -> float:
        """Return what the child has lost of the search's metric.

        Negative where the child is better. The child is recalibrated, where it
        was. In the metric's unit: 0.01 is a point of accuracy.
        """
        sign = 1.0 if self.direction == "max" else -1.0
        return sign * float(np.mean(self.values[SEARCH]) - self._kept())

    def _kept(self):
        return float(np.mean(self.values.get(RECALIBRATED, self.values[MODE])))

    def verdict(self) -> str:
        """Return one sentence: the metric of the search and of the child."""
        search, child = float(np.mean(self.values[SEARCH])), self._kept()
        if not np.isfinite([search, child]).all():
            return f"The validation {self.metric} is not finite."
        change = "loses" if self.gap > 0 else "gains"
        better = "larger" if self.direction == "max" else "smaller"
        return (
            f"The validation {self.metric} ({better} is better) is "
            f"{search:.4f} in the search and {child:.4f} in the child, which "
            f"{change} {abs(self.gap):.4f}."
        )

    def parts(self) -> list[str | tables.Table]:
        """Return the verdict, and tables of the metric and the cost."""
        rows = [
            (
                row,
                f"{np.mean(values):.4f}",
                f"{_deviation(values):.4f}" if len(values) > 1 else "",
                str(len(values)),
            )
            for row, values in self.values.items()
        ]
        rows.append(("gap, what the child loses", f"{self.gap:.4f}", "", ""))
        costs = [
            (row, text_lib.number(float(np.mean(values))))
            for row, values in self.costs.items()
        ]
        metric = f"validation {self.metric}"
        return [
            self.verdict(),
            tables.Table((metric, "mean", "deviation", "n"), rows, metric),
            tables.Table((self.cost, "mean"), costs, self.cost),
        ]

    def table(self) -> str:
        """Return the verdict and the rows, mean and deviation, in Markdown."""
        return tables.document(self.parts())

    def figure(self) -> Any:
        """Draw the rows as bars.

        Returns:
            matplotlib figure.

        Raises:
            ModuleNotFoundError: matplotlib is missing.
        """
        return _bar_chart(self)

    def save(self, path: str | os.PathLike) -> None:
        """Write JSON, and beside it the table and a bar chart.

        Args:
            path: path of the JSON file; the others have the suffixes .md and
                .png.

        Raises:
            ModuleNotFoundError: matplotlib or tabulate is missing.
        """
        content = {**dataclasses.asdict(self), "gap": self.gap}
        content = _json.plain(content)
        report_files.write(path, content, self.table(), self.figure())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "RetentionReport":
        """Read the JSON file that `save` wrote.

        Args:
            path: path of the JSON file.

        Returns:
            RetentionReport.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or no such report.
        """
        report = report_files.read(path, cls)
        # What was not finite is null in JSON.
        values = {
            row: [float("nan") if v is None else v for v in values]
            for row, values in report.values.items()
        }
        return dataclasses.replace(report, values=values)


def _deviation(values):
    return float(np.std(values, ddof=1))


def _bar_chart(report):
    drawn = plots.new_figure(figsize=(7, 3))
    axes = drawn.subplots()
    rows = list(report.values)[::-1]
    means = [np.mean(report.values[row]) for row in rows]
    deviations = [
        _deviation(report.values[row]) if len(report.values[row]) > 1 else 0.0
        for row in rows
    ]
    means, deviations = np.nan_to_num(means), np.nan_to_num(deviations)
    places = range(len(rows))
    axes.barh(places, means, xerr=deviations, capsize=3, color="#56B4E9")
    axes.set_yticks(places, rows)
    for row, mean in enumerate(means):
        axes.annotate(
            f"{mean:.3f}",
            (0, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    [metric] = plots.labels([report.metric]).values()
    axes.set_xlabel(f"validation {metric} (bar: one deviation)")
    axes.set_title(f"gap, what the child loses: {report.gap:.4f}")
    return drawn
