"""Pictures of a search: its cells, its choices, and how it came to them.

Every function returns a matplotlib figure that needs no display; `savefig`
writes it. Colours are those of Okabe and Ito, which colour-blind people can
tell apart, with grey for their yellow, which is faint on white; line styles and
markers say the same.
"""

import itertools
import math
import re

import numpy as np

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
_EDGE = re.compile(r"(?P<cell>.*?)_?(?P<source>\d+)->(?P<target>\d+)")
_NONE = "none"
# Inches for a character and a line of text at the size used here.
_CHARACTER, _LINE = 0.085, 0.24


def cells_of(choices):
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
        if match:
            ends = int(match["source"]), int(match["target"])
            cells.setdefault(match["cell"], {})[name] = ends
    return cells


def cell(name, choices, probabilities, genotype=None):
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
        n: _label(choices[n], probabilities[n], genotype and genotype[n])
        for n, _ in edges
    }
    nodes = sorted({node for _, ends in edges for node in ends})
    column = 0.3 + _CHARACTER * max(len(t) for t, _ in labels.values())
    what = "candidate" if genotype else "likeliest candidate"
    title = f"cell {name!r}: {what} of every edge"
    width = max(column * len(nodes), 0.3 + _CHARACTER * len(title))
    figure = plots.new_figure(figsize=(width, 1.0 + 1.4 * _LINE * len(edges)))
    axes = figure.subplots()
    for row, (choice, (source, node)) in enumerate(edges):
        _arrow(
            axes, nodes.index(source), nodes.index(node), row, labels[choice]
        )
    _life_lines(axes, nodes, {node for _, (_, node) in edges}, len(edges))
    axes.set_title(title)
    return figure


def _label(candidates, p, taken=None):
    """Return what is written of a candidate, and its probability.

    Without `taken` it is the likeliest.
    """
    index = list(candidates).index(taken) if taken else int(np.argmax(p))
    return f"{candidates[index]} {p[index]:.2f}", float(p[index])


def _arrow(axes, start, end, row, label):
    text, probability = label
    is_none = text.rsplit(" ", 1)[0] == _NONE
    axes.annotate(
        "",
        (end, row),
        (start, row),
        arrowprops={
            "arrowstyle": "-|>",
            "color": "#999999" if is_none else COLORS[0],
            "linewidth": 0.6 + 4.4 * probability,
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


def choices(choices, probabilities):
    """Draw the probabilities of all candidates, a bar for every choice.

    Args:
        choices: {choice name: candidate names}.
        probabilities: {choice name: float, shape (candidates,)}.

    Returns:
        matplotlib figure.
    """
    names = _candidate_names(choices)
    labels = [
        f"{name}: {_label(candidates, probabilities[name])[0]}"
        for name, candidates in choices.items()
    ]
    width = max(8.0, 5.0 + _CHARACTER * max(len(text) for text in labels))
    rows = len(choices) + 1 + _legend_rows(names)
    figure = plots.new_figure(figsize=(width, 1.4 + _LINE * rows))
    axes = figure.subplots()
    lefts = np.zeros(len(choices))
    for index, candidate in enumerate(names):
        widths = np.array(
            [_of(candidate, choices[n], probabilities[n]) for n in choices]
        )
        axes.barh(
            range(len(choices)),
            widths,
            left=lefts,
            color=_color(index),
            hatch=_hatch(index),
            edgecolor="white",
            label=candidate,
        )
        lefts += widths
    axes.set_yticks(range(len(choices)), labels, fontsize=8)
    axes.set_ylim(len(choices) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability (label: the likeliest candidate)")
    _legend(figure, axes)
    return figure


def probabilities(choices, lines):
    """Draw the probability of every candidate over the epochs.

    Args:
        choices: {choice name: candidate names}.
        lines: list of lines of the search log.

    Returns:
        matplotlib figure, one panel a choice.
    """
    names = _candidate_names(choices)
    width = max(2.6, 0.3 + _CHARACTER * max(len(name) for name in choices))
    figure, panels = _grid(
        len(choices),
        max(1, int(10.4 / width)),
        width,
        1.7,
        above=_LINE * _legend_rows(names),
        shared=True,
    )
    epochs = _epochs(lines)
    for axes, (choice, candidates) in zip(panels, choices.items(), strict=True):
        rows = np.array([line["probabilities"][choice] for line in lines])
        for candidate, values in zip(candidates, rows.T, strict=True):
            style = _line(names.index(candidate), len(epochs))
            axes.plot(epochs, values, **style)
        axes.set_title(choice, fontsize=9)
        axes.set_ylim(0, 1.02)
        _whole_epochs(axes)
    handles = [
        panels[0].plot([], [], label=name, **_line(index))[0]
        for index, name in enumerate(names)
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=_legend_columns(names),
    )
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("probability", fontsize=9)
    return figure


def search(about, lines):
    """Draw metrics, entropy, temperature, and costs against their limits.

    Args:
        about: what `search.json` says.
        lines: list of lines of the search log.

    Returns:
        matplotlib figure.
    """
    metrics = _metrics(lines)
    figure, panels = _grid(len(metrics) + 1 + len(about["costs"]), 2, 4.2, 2.6)
    panels = iter(panels)
    for metric in metrics:
        axes = next(panels)
        for index, name in enumerate((metric, f"val_{metric}")):
            logged = [line for line in lines if name in line["logs"]]
            if logged:
                values = [line["logs"][name] for line in logged]
                label = "validation" if index else "training"
                _curve(axes, logged, values, index, label)
        axes.set_title(metric, fontsize=9)
        axes.legend(fontsize=8)
    axes = next(panels)
    shares = [_entropy_share(about["choices"], line) for line in lines]
    _curve(axes, lines, shares, 0, "entropy, share of its maximum")
    temperatures = [line["temperature"] for line in lines]
    _curve(axes, lines, temperatures, 1, "temperature")
    axes.set_ylim(bottom=0)
    axes.set_title("entropy and temperature", fontsize=9)
    axes.legend(fontsize=8)
    for cost, known in about["costs"].items():
        _cost_panel(next(panels), cost, known["limit"], lines)
    figure.supxlabel("epoch", fontsize=9)
    return figure


def _cost_panel(axes, cost, limit, lines):
    # A search that was resumed may follow other costs than before.
    lines = [line for line in lines if cost in line["costs"]]
    for index, key in enumerate(("expected", "child")):
        values = [line["costs"][cost][key] for line in lines]
        _curve(axes, lines, values, index, key)
    if limit is not None:
        axes.axhline(limit, color="black", linewidth=1, label="limit", ls=":")
    axes.set_ylim(bottom=0)
    axes.set_title(cost, fontsize=9)
    axes.legend(fontsize=8)


def credit(choices, line):
    """Draw the credit and the two pulls on the logits, as three heat maps.

    Blue helps or is drawn up, red costs or is pushed down.

    Args:
        choices: {choice name: candidate names}.
        line: one line of the search log.

    Returns:
        matplotlib figure.
    """
    names = _candidate_names(choices)
    parts = {
        "credit": "d task loss / d weight",
        "task": "task's gradient by the logit",
        "resource": "penalty's gradient by the logit",
    }
    left = _CHARACTER * max(len(n) for n in choices)
    below = 0.8 + 0.7 * _CHARACTER * max(len(n) for n in names)
    width = left + 3 * max(2.7, 0.26 * len(names) + 0.9)
    figure = plots.new_figure(
        figsize=(width, below + 0.6 + _LINE * max(3, len(choices)))
    )
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (key, title) in zip(panels, parts.items(), strict=True):
        table = [
            [
                _of(name, choices[c], line["credit"][c][key], math.nan)
                for name in names
            ]
            for c in choices
        ]
        _heat_map(figure, axes, np.array(table, "float64"), names, title)
    panels[0].set_yticks(range(len(choices)), list(choices), fontsize=8)
    return figure


def _heat_map(figure, axes, table, names, title):
    known = np.abs(table[np.isfinite(table)])
    reach = float(known.max()) if known.size and known.max() > 0 else 1.0
    axes.set_facecolor("#DDDDDD")
    image = axes.imshow(
        table, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto"
    )
    axes.set_xticks(
        range(len(names)), names, rotation=60, ha="right", fontsize=8
    )
    axes.set_title(title, fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.8, format="%.1e").ax.tick_params(
        labelsize=7
    )


def _metrics(lines):
    """Return the metrics to show: the loss, and what has validation values."""
    logged = dict.fromkeys(key for line in lines for key in line["logs"])
    names = [k for k in logged if not k.startswith("val_")]
    both = [k for k in names if f"val_{k}" in logged]
    return list(dict.fromkeys(["loss", *both])) if "loss" in names else both


def _entropy_share(choices, line):
    most = sum(math.log(len(c)) for c in choices.values())
    return sum(line["entropy"].values()) / most if most else 0.0


def _candidate_names(choices):
    return list(dict.fromkeys(itertools.chain(*choices.values())))


def _of(candidate, candidates, values, otherwise=0.0):
    candidates = list(candidates)
    if candidate not in candidates:
        return otherwise
    return values[candidates.index(candidate)]


def _grid(count, columns, width, height, above=0.0, shared=False):
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


def _epochs(lines):
    """Return the numbers of the epochs as Keras prints them, from one."""
    return [line["epoch"] + 1 for line in lines]


def _curve(axes, lines, values, index, label):
    values = [math.nan if v is None else v for v in values]
    style = _line(index, len(values))
    axes.plot(_epochs(lines), values, label=label, **style)
    _whole_epochs(axes)


def _whole_epochs(axes):
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    axes.tick_params(labelsize=8)


def _line(index, num_points=1):
    again = index // len(COLORS)
    every = max(1, num_points // 5)
    return {
        "color": _color(index),
        "linestyle": STYLES[(index + again) % len(STYLES)],
        "marker": "os^vDPX*"[(index + 3 * again) % 8],
        "markersize": 3,
        # Staggered, so that curves on one another can be told apart.
        "markevery": (index % every, every),
        "linewidth": 1.3,
    }


def _color(index):
    return COLORS[index % len(COLORS)]


def _hatch(index):
    return ("", "//", "..", "xx")[index // len(COLORS) % 4]


def _legend(figure, axes):
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=_legend_columns(labels),
        fontsize=8,
    )


def _legend_rows(labels):
    return math.ceil(len(labels) / _legend_columns(labels))


def _legend_columns(labels):
    widest = max(len(label) for label in labels) + 6
    return max(1, min(len(labels), int(75 / widest)))
