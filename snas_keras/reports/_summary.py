"""Summary of a search: verdict and tables."""

import math
from collections.abc import Sequence
from typing import Any

from snas_keras._utils import budget, tables
from snas_keras._utils import text as text_lib
from snas_keras.reports import _figures, _records

_DECIDED = 0.25
_SENSE = {"max": " (larger is better)", "min": " (smaller is better)"}


def verdict(
    search: _records.Search,
    epochs: Sequence[_records.Epoch],
    findings: Sequence[Any],
) -> list[str]:
    """Say first what came of the search.

    Args:
        search: Search.
        epochs: sequence of Epoch.
        findings: sequence of Finding, the warnings.

    Returns:
        list of str, sentences.
    """
    last = epochs[-1]
    sentences = [_decision(search, last), _metric(search, epochs)]
    sentences += [_limit(name, b, last) for name, b in search.costs.items()]
    if findings:
        sentences.append(f"Warnings: {len(findings)}, see below.")
    return [sentence for sentence in sentences if sentence]


def _decision(search, last):
    if last.genotype is None:
        return (
            "The search has diverged: its logits are not finite, so there is "
            "no child."
        )
    left = _figures.entropy_share(search.choices, last)
    share = f"{100 * left:.0f} % of the entropy is left"
    if left <= _DECIDED:
        return f"The search has decided: {share}."
    return (
        f"The search is undecided: {share}. Its child is one likely child "
        "among many."
    )


def _metric(search, epochs):
    """Tell of the user's first metric, the loss where there is no other."""
    last = epochs[-1].scalars()
    names = [*search.own_metrics(list(last)), "loss"]
    name = next((n for n in names if n in last or f"val_{n}" in last), None)
    if name is None:
        return ""
    sense = _SENSE.get(search.directions.get(name, ""), "")
    if f"val_{name}" in last:
        value = _number(last[f"val_{name}"])
        return f"The child's validation {name} is {value}{sense}."
    return (
        f"The training {name} of networks as drawn is {_number(last[name])}"
        f"{sense}; there was no validation."
    )


def _limit(name, bounds, last):
    if bounds.limit is None or name not in last.costs:
        return ""
    child = last.costs[name].child
    if math.isnan(child):
        return ""
    way = "within" if budget.is_within(child, bounds.limit) else "above"
    return (
        f"The child's {name} are {_number(child)}, {way} the limit of "
        f"{_number(bounds.limit)}."
    )


def tables_of(
    search: _records.Search, epochs: Sequence[_records.Epoch]
) -> list[tables.Table]:
    """Return the numbers after the last epoch: state, metrics and costs.

    Args:
        search: Search.
        epochs: sequence of Epoch.

    Returns:
        list of Table.
    """
    made = [_state(search, epochs), _metrics(search, epochs[-1])]
    return made + ([_costs(search, epochs[-1])] if search.costs else [])


def _state(search, epochs):
    last = epochs[-1]
    left = _figures.entropy_share(search.choices, last)
    rows = [
        ("choices", str(len(search.choices))),
        ("children in the space", text_lib.count(search.children)),
        ("epochs", str(len(epochs))),
        ("time", _duration(sum(epoch.seconds for epoch in epochs))),
        ("temperature", f"{last.temperature:.3g}"),
        ("entropy left", f"{100 * left:.0f} %"),
    ]
    return tables.Table((), rows, "After the last epoch.")


def _metrics(search, last):
    logged = last.scalars()
    plain = dict.fromkeys(name.removeprefix("val_") for name in logged)
    own = search.own_metrics(list(logged))
    order = [*own, *(name for name in plain if name not in own)]
    rows = [
        (
            name + _SENSE.get(search.directions.get(name, ""), ""),
            _number(logged.get(name)),
            _number(logged.get(f"val_{name}")),
        )
        for name in order
    ]
    return tables.Table(
        ("metric", "training", "validation"),
        rows,
        "Training: means over the last epoch, of networks as they were drawn. "
        "Validation: the child, after the epoch.",
    )


def _costs(search, last):
    rows = []
    for name, bounds in search.costs.items():
        state = last.costs.get(name)
        rows.append(
            (
                name,
                *map(_number, (bounds.minimum, bounds.maximum, bounds.limit)),
                _number(state and state.expected),
                _number(state and state.child),
            )
        )
    head = (
        *("cost", "cheapest child", "most expensive child", "limit"),
        *("expected", "child"),
    )
    return tables.Table(head, rows, "Whole children, after the last epoch.")


def _number(value):
    if value is None:
        return ""
    return "not finite" if math.isnan(value) else text_lib.number(value)


def _duration(seconds):
    if math.isnan(seconds):
        return "not known"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
