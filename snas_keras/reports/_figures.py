"""Figures of a search: its choices, its course, and its credit.

Every function returns a matplotlib figure that needs no display; `savefig`
writes it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snas_keras._utils import plots
from snas_keras.reports import _figure_style as style
from snas_keras.reports import _records
from snas_keras.reports._cell_figures import label_of


def choices(
    choices: Mapping[str, Sequence[str]],
    probabilities: Mapping[str, Sequence[float]],
) -> Any:
    """Draw the probabilities of all candidates, a bar for every choice.

    Args:
        choices: {choice name: candidate names}.
        probabilities: {choice name: float, shape (candidates,)}.

    Returns:
        matplotlib figure.
    """
    names = _candidate_names(choices)
    shown = plots.labels(choices)
    labels = [
        f"{shown[name]}: {label_of(candidates, probabilities[name])[0]}"
        for name, candidates in choices.items()
    ]
    width = max(8.0, 5.0 + style.CHARACTER * max(len(text) for text in labels))
    rows = len(choices) + 1 + style.legend_rows([*names.values()])
    figure = plots.new_figure(figsize=(width, 1.4 + style.LINE * rows))
    axes = figure.subplots()
    lefts = np.zeros(len(choices))
    for index, (candidate, label) in enumerate(names.items()):
        widths = np.nan_to_num(
            [_of(candidate, choices[n], probabilities[n]) for n in choices]
        )
        axes.barh(
            range(len(choices)),
            widths,
            left=lefts,
            color=style.color(index),
            hatch=style.hatch(index),
            edgecolor="white",
            label=label,
        )
        lefts += widths
    axes.set_yticks(range(len(choices)), labels, fontsize=8)
    axes.set_ylim(len(choices) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability (label: the likeliest candidate)")
    style.legend(figure, axes)
    return figure


def probabilities(
    choices: Mapping[str, Sequence[str]], epochs: Sequence[_records.Epoch]
) -> Any:
    """Draw the probability of every candidate over the epochs.

    Args:
        choices: {choice name: candidate names}.
        epochs: sequence of Epoch.

    Returns:
        matplotlib figure, one panel a choice.
    """
    names, titles = _candidate_names(choices), plots.labels(choices)
    rows = style.legend_rows([*names.values()])
    longest = max(len(title) for title in titles.values())
    width = max(2.6, 0.3 + style.CHARACTER * longest)
    figure, panels = style.grid(
        len(choices),
        max(1, int(10.4 / width)),
        width,
        1.7,
        above=style.LINE * rows,
        shared=True,
    )
    numbers = _numbers(epochs)
    order = list(names)
    for axes, (choice, candidates) in zip(panels, choices.items(), strict=True):
        table = np.array([epoch.probabilities[choice] for epoch in epochs])
        for candidate, values in zip(candidates, table.T, strict=True):
            line = style.line(order.index(candidate), len(numbers))
            axes.plot(numbers, values, **line)
        axes.set_title(titles[choice], fontsize=9)
        axes.set_ylim(0, 1.02)
        style.whole_epochs(axes)
    handles = [
        panels[0].plot([], [], label=label, **style.line(index))[0]
        for index, label in enumerate(names.values())
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=style.legend_columns([*names.values()]),
    )
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("probability", fontsize=9)
    return figure


def search(search: _records.Search, epochs: Sequence[_records.Epoch]) -> Any:
    """Draw metrics, entropy, temperature, and costs against their limits.

    Args:
        search: Search.
        epochs: sequence of Epoch.

    Returns:
        matplotlib figure.
    """
    metrics = _metrics(search, epochs)
    figure, panels = style.grid(
        len(metrics) + 1 + len(search.costs), 2, 4.2, 2.6
    )
    panels = iter(panels)
    for metric in metrics:
        _metric_panel(next(panels), metric, search.directions, epochs)
    axes = next(panels)
    shares = [entropy_share(search.choices, epoch) for epoch in epochs]
    _curve(axes, epochs, shares, 0, "entropy, share of its maximum")
    temperatures = [epoch.temperature for epoch in epochs]
    _curve(axes, epochs, temperatures, 1, "temperature")
    axes.set_ylim(bottom=0)
    axes.set_title("entropy and temperature", fontsize=9)
    axes.legend(fontsize=8)
    for cost, bounds in search.costs.items():
        _cost_panel(next(panels), cost, bounds.limit, epochs)
    figure.supxlabel("epoch", fontsize=9)
    return figure


def _metric_panel(axes, metric, directions, epochs):
    for index, (name, label) in enumerate(
        ((metric, "training, as drawn"), (f"val_{metric}", "validation, child"))
    ):
        logged = [epoch for epoch in epochs if name in epoch.scalars()]
        if logged:
            values = [epoch.scalars()[name] for epoch in logged]
            _curve(axes, logged, values, index, label)
    better = {"max": " (larger is better)", "min": " (smaller is better)"}
    [title] = plots.labels([metric], most=30).values()
    title += better.get(directions.get(metric, ""), "")
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=8)


def _cost_panel(axes, cost, limit, epochs):
    # A search that was resumed may follow other costs than before.
    epochs = [epoch for epoch in epochs if cost in epoch.costs]
    for index, key in enumerate(("expected", "child")):
        values = [getattr(epoch.costs[cost], key) for epoch in epochs]
        _curve(axes, epochs, values, index, key)
    if limit is not None and math.isfinite(limit):
        axes.axhline(limit, color="black", linewidth=1, label="limit", ls=":")
    axes.set_ylim(bottom=0)
    [title] = plots.labels([cost], most=40).values()
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=8)


def credit(
    choices: Mapping[str, Sequence[str]],
    credit: Mapping[str, _records.CandidateCredit],
) -> Any:
    """Draw the credit and the two pulls on the logits, as three heat maps.

    Blue helps or is drawn up, red costs or is pushed down.

    Args:
        choices: {choice name: candidate names}.
        credit: {choice name: CandidateCredit}, of one epoch.

    Returns:
        matplotlib figure.
    """
    names, rows = _candidate_names(choices, most=40), plots.labels(choices)
    parts = {
        "credit": "d task loss / d weight",
        "task": "task's gradient by the logit",
        "resource": "penalty's gradient by the logit",
    }
    left = style.CHARACTER * max(map(len, rows.values()))
    below = 0.8 + 0.7 * style.CHARACTER * max(map(len, names.values()))
    width = left + 3 * max(2.7, 0.26 * len(names) + 0.9)
    figure = plots.new_figure(
        figsize=(width, below + 0.6 + style.LINE * max(3, len(choices)))
    )
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (key, title) in zip(panels, parts.items(), strict=True):
        table = [
            [
                _of(name, choices[c], getattr(credit[c], key), math.nan)
                for name in names
            ]
            for c in choices
        ]
        values = np.array(table, "float64")
        _heat_map(figure, axes, values, [*names.values()], title)
    panels[0].set_yticks(range(len(choices)), [*rows.values()], fontsize=8)
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


def _metrics(search, epochs):
    """Return the metrics to show: the user's own, then the loss."""
    names = dict.fromkeys(n for epoch in epochs for n in epoch.scalars())
    loss = ["loss"] if "loss" in names else []
    return [*search.own_metrics(list(names)), *loss]


def entropy_share(
    choices: Mapping[str, Sequence[str]], epoch: _records.Epoch
) -> float:
    """Return the share of the entropy that is left, 0 with nothing to choose.

    Args:
        choices: {choice name: candidate names}.
        epoch: Epoch.

    Returns:
        float from 0 to 1.
    """
    most = sum(math.log(len(c)) for c in choices.values())
    return sum(epoch.entropy.values()) / most if most else 0.0


def _candidate_names(choices, most=60):
    """Return {candidate name: its label} of all choices."""
    return plots.labels(itertools.chain(*choices.values()), most)


def _of(candidate, candidates, values, otherwise=0.0):
    candidates = list(candidates)
    if candidate not in candidates:
        return otherwise
    return values[candidates.index(candidate)]


def _numbers(epochs):
    """Return the numbers of the epochs as Keras prints them, from one."""
    return [epoch.epoch + 1 for epoch in epochs]


def _curve(axes, epochs, values, index, label):
    axes.plot(
        *(_numbers(epochs), values),
        label=label,
        **style.line(index, len(values)),
    )
    style.whole_epochs(axes)
