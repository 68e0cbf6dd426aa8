"""The look of all figures: colours, lines, grids and legends.

Colours are those of Okabe and Ito, which colour-blind people can tell apart,
with grey for their yellow, which is faint on white; line styles and markers say
the same.
"""

import math
from collections.abc import Sequence
from typing import Any

from snas_keras._utils import plots

COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#000000",
    "#999999",
)
STYLES = ("-", "--", ":", "-.")
# Inches for a character and a line of text at the size used here.
CHARACTER, LINE = 0.085, 0.24


def grid(
    count: int,
    columns: int,
    width: float,
    height: float,
    above: float = 0.0,
    shared: bool = False,
) -> tuple[Any, list]:
    """Make a figure of panels.

    Args:
        count: int, panels.
        columns: int, at most.
        width: float, inches of a panel.
        height: float, inches of a panel.
        above: float, inches left for a legend, default 0.0.
        shared: bool, whether all panels share their axes, default False.

    Returns:
        (matplotlib figure, list of axes).
    """
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = plots.new_figure(
        figsize=(max(6.0, width * columns), height * rows + 0.7 + above)
    )
    grid = figure.subplots(
        rows, columns, squeeze=False, sharex=shared, sharey=shared
    )
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.set_axis_off()
    for axes in panels[max(0, count - columns) : count]:
        axes.tick_params(labelbottom=True)
    return figure, panels[:count]


def whole_epochs(axes: Any) -> None:
    """Number the epochs of a panel by integers."""
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    axes.tick_params(labelsize=8)


def line(index: int, num_points: int = 1) -> dict[str, Any]:
    """Return the options of the line of the index-th candidate."""
    again = index // len(COLORS)
    every = max(1, num_points // 5)
    return {
        "color": color(index),
        "linestyle": STYLES[(index + again) % len(STYLES)],
        "marker": "os^vDPX*"[(index + 3 * again) % 8],
        "markersize": 3,
        # Staggered, so that curves on one another can be told apart.
        "markevery": (index % every, every),
        "linewidth": 1.3,
    }


def color(index: int) -> str:
    """Return the colour of the index-th candidate."""
    return COLORS[index % len(COLORS)]


def hatch(index: int) -> str:
    """Return the hatching of the index-th candidate."""
    return ("", "//", "..", "xx")[index // len(COLORS) % 4]


def legend(figure: Any, axes: Any) -> None:
    """Put the legend of a panel below the figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=legend_columns(labels),
        fontsize=8,
    )


def legend_rows(labels: Sequence[str]) -> int:
    """Return the number of rows that a legend of these labels has."""
    return math.ceil(len(labels) / legend_columns(labels))


def legend_columns(labels: Sequence[str]) -> int:
    """Return the number of columns that a legend of these labels has."""
    widest = max(len(label) for label in labels) + 6
    return max(1, min(len(labels), int(75 / widest)))
