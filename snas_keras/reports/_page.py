"""The page about a search: decisions, reasons, next steps."""

import base64
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from snas_keras import objectives
from snas_keras._utils import files, plots, tables
from snas_keras.reports import (
    _cell_figures,
    _figures,
    _genotype_page,
    _health,
    _read,
    _retention_report,
    _summary,
)

REPORT = "report.html"
_SHRINK = 0.85
# Pictures of more choices can hardly be read.
_MOST_CHOICES = 100


def search_report(
    run_directory: str | os.PathLike, path: str | os.PathLike | None = None
) -> pathlib.Path:
    """Write one self-contained HTML page about a search.

    It begins with a verdict. Then it shows the metrics, the costs against their
    limits, pictures of the cells or choices, of the course of the search and of
    the credit, the likeliest children, the genotype, the warnings of
    `HealthGuard`, and the program to go on with. Where a `RetentionReport` or
    `ParetoReport` was saved as `retention.json` or `pareto.json` in the same
    folder, they are on it too.

    The page needs no network, and may be written while the search still runs.

    Args:
        run_directory: path of the folder that `SearchLogger` writes to.
        path: path of the page, default `report.html` in that folder.

    Returns:
        pathlib.Path of the page.

    Raises:
        FileNotFoundError: there is no log in the folder.
        ValueError: the log, a warning or a saved report is damaged; the message
            names the file, and of the log the line.
        ModuleNotFoundError: matplotlib, tabulate or Jinja2 is missing; the
            message names the extra.

    Example:

    >>> search_report("runs/none")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    FileNotFoundError: There is no file 'runs/none/search.json'...
    """
    run_directory = pathlib.Path(run_directory)
    search, epochs = _read.read_search(run_directory)
    path = pathlib.Path(path or run_directory / REPORT)
    findings = _findings(run_directory / _health.WARNINGS)
    saved = _saved(run_directory)
    page = _template().render(
        title=f"Search of {search.name}",
        verdict=_summary.verdict(search, epochs, findings),
        sections=[
            Section("Summary", _summary.tables_of(search, epochs)),
            Section("Decisions", _decisions(search, epochs[-1])),
            Section("Course of the search", _course(search, epochs)),
            *saved,
        ],
        findings=findings,
        genotype=_genotype_page.genotype(search, epochs[-1]),
        versions=", ".join(f"{k} {v}" for k, v in search.versions.items()),
    )
    with files.replacing(path) as temporary:
        # A lone surrogate in a name has no bytes.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the page.

    Args:
        title: str.
        parts: sequence of str, Table and Picture; without any it is left out.
    """

    title: str
    parts: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture within the page.

    Args:
        caption: str.
        png: str, the file in base64, empty where it could not be drawn.
        least: int, pixels, the width below which its box scrolls.
    """

    caption: str
    png: str
    least: int


def _template():
    import jinja2

    loader = jinja2.PackageLoader("snas_keras.reports")
    return tables.environment(loader=loader).get_template("page.html")


def _findings(path):
    if not path.exists():
        return []
    return _read.read_lines(path, _health.Finding.from_json)


def _decisions(search, last):
    p = last.probabilities
    shown, note = _most_open(search.choices, last)
    pictures = [
        _picture(
            f"The cell {name}. An arrow is as wide as its candidate is "
            "probable; none is dashed.",
            *(_cell_figures.cell, name, search.choices, p, last.genotype),
        )
        for name in _cell_figures.cells_of(search.choices)
    ]
    return [
        *pictures,
        _picture(
            f"The probabilities of all candidates. {note}",
            *(_figures.choices, shown, p),
        ),
        _picture(
            "Moving means over the last hundred steps or so. Left: the credit, "
            "what a little more of a candidate does to the task loss; blue "
            "helps. Then what pulls at the logits, the task and the penalty; "
            f"blue raises the candidate. Grey: no such candidate. {note}",
            *(_figures.credit, shown, last.credit),
        ),
    ]


def _course(search, epochs):
    shown, note = _most_open(search.choices, epochs[-1])
    return [
        _picture(
            "Metrics, entropy, temperature, and costs against their limits. "
            "Training metrics are means over the epoch of networks as they "
            "were drawn; validation metrics are those of the child after it.",
            *(_figures.search, search, epochs),
        ),
        _picture(
            f"The probability of every candidate, choice by choice. {note}",
            *(_figures.probabilities, shown, epochs),
        ),
    ]


def _most_open(choices, epoch):
    """Return the choices to show, and a note of those that are left out."""
    if len(choices) <= _MOST_CHOICES:
        return choices, ""
    names = sorted(choices, key=lambda n: -epoch.entropy[n])[:_MOST_CHOICES]
    note = f"Of {len(choices)} choices the {len(names)} least decided."
    return {name: choices[name] for name in names}, note


def _saved(run_directory):
    """Return sections of the reports that were saved beside the log."""
    sections = []
    for name, load, title, caption in (
        (
            *("retention", _retention_report.RetentionReport.load),
            "What the child keeps of the search",
            "Means on the validation data; the bars' ends are one deviation.",
        ),
        (
            *("pareto", objectives.ParetoReport.load),
            "Children that no other beats in everything",
            "All children by two objectives; the line joins those of the "
            "table.",
        ),
    ):
        path = run_directory / f"{name}.json"
        if path.exists():
            report = load(path)
            parts = [*report.parts(), _picture(caption, report.figure)]
            sections.append(Section(title, parts))
    return sections


def _picture(caption, draw, *args):
    """Draw a picture, or say why there is none: the page goes on."""
    try:
        png = plots.png(draw(*args))
    except ModuleNotFoundError:
        raise
    except Exception as error:
        return Picture(f"A picture could not be drawn: {error!r}", "", 0)
    # What is smaller can hardly be read: rather let the picture's box scroll.
    least = round(_SHRINK * int.from_bytes(png[16:20], "big"))
    return Picture(caption.strip(), base64.b64encode(png).decode(), least)
