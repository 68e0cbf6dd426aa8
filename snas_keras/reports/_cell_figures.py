"""Figures of cells: every edge an arrow with its candidate."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from snas_keras._utils import plots
from snas_keras.reports import _figure_style as style

_EDGE = re.compile(r"(?P<cell>.*?)_?(?P<source>\d+)->(?P<target>\d+)")
_NONE = "none"


def cells_of(choices: Iterable[str]) -> dict[str, dict[str, tuple]]:
    """Find the cells among choices by their names, "<cell>_<source>-><node>".

    Args:
        choices: iterable of choice names.

    Returns:
        {cell name: {choice name: (source, node)}}.

    Example:

    >>> cells_of(["normal_0->2", "head"])
    {'normal': {'normal_0->2': (0, 2)}}
    """
    cells = {}
    for name in choices:
        match = _EDGE.fullmatch(name)
        if match and int(match["source"]) < int(match["target"]):
            ends = int(match["source"]), int(match["target"])
            cells.setdefault(match["cell"], {})[name] = ends
    return cells


def cell(
    name: str,
    choices: Mapping[str, Sequence[str]],
    probabilities: Mapping[str, Sequence[float]],
    genotype: Mapping[str, str] | None = None,
) -> Any:
    """Draw one cell: every edge an arrow with the candidate it takes.

    Nodes are columns; each edge has a row of its own, so that no label hides
    another. An arrow is as wide as its candidate is probable; `none` is dashed.

    Args:
        name: str, of the cell, e.g. "normal".
        choices: {choice name: candidate names}.
        probabilities: {choice name: float, shape (candidates,)}.
        genotype: {choice name: candidate name}, default the likeliest; under a
            limit a search may name others.

    Returns:
        matplotlib figure.

    Raises:
        ValueError: there is no such cell.
    """
    cells = cells_of(choices)
    if name not in cells:
        raise ValueError(
            f"There is no such cell. Received: {name!r}. Found: {sorted(cells)}"
        )
    edges = sorted(cells[name].items(), key=lambda e: (e[1][1], e[1][0]))
    labels = {
        n: label_of(choices[n], probabilities[n], genotype and genotype[n])
        for n, _ in edges
    }
    nodes = sorted({node for _, ends in edges for node in ends})
    longest = max(len(text) for text, _ in labels.values())
    column = 0.3 + style.CHARACTER * longest
    what = "candidate" if genotype else "likeliest candidate"
    [shown] = plots.labels([name]).values()
    title = f"cell {shown!r}: {what} of every edge"
    width = max(column * len(nodes), 0.3 + style.CHARACTER * len(title))
    figure = plots.new_figure(
        figsize=(width, 1.0 + 1.4 * style.LINE * len(edges))
    )
    axes = figure.subplots()
    for row, (choice, (source, node)) in enumerate(edges):
        _arrow(
            axes, nodes.index(source), nodes.index(node), row, labels[choice]
        )
    _life_lines(axes, nodes, {node for _, (_, node) in edges}, len(edges))
    axes.set_title(title)
    return figure


def label_of(
    candidates: Sequence[str], p: Sequence[float], candidate: str | None = None
) -> tuple[str, float]:
    """Return what is written of a candidate, and its probability.

    Args:
        candidates: candidate names.
        p: their probabilities.
        candidate: str, which, default None: the likeliest.

    Returns:
        (str, float).
    """
    if candidate is None:
        candidate = candidates[int(np.argmax(p))]
    index = list(candidates).index(candidate)
    label = plots.labels(candidates)[candidate]
    return f"{label} {p[index]:.2f}", float(p[index])


def _arrow(axes, start, end, row, label):
    text, probability = label
    is_none = text.rsplit(" ", 1)[0] == _NONE
    axes.annotate(
        "",
        (end, row),
        (start, row),
        arrowprops={
            "arrowstyle": "-|>",
            "color": "#999999" if is_none else style.COLORS[0],
            "linewidth": 0.6 + 4.4 * np.nan_to_num(probability),
            "linestyle": (0, (2, 2)) if is_none else "-",
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
    axes.text(
        (start + end) / 2,
        row - 0.22,
        text,
        fontsize=8,
        color="#666666" if is_none else "black",
        ha="center",
        va="bottom",
        bbox={"color": "white", "pad": 0.6},
    )


def _life_lines(axes, nodes, computed, num_rows):
    for x, node in enumerate(nodes):
        axes.axvline(x, color="#CCCCCC", linewidth=1.0, zorder=0)
        label = f"node {node}" if node in computed else f"input {node}"
        axes.text(x, -1.3, label, ha="center", va="center", fontsize=9)
    axes.set_xlim(-0.5, len(nodes) - 0.5)
    axes.set_ylim(num_rows - 0.3, -1.8)
    axes.set_axis_off()
