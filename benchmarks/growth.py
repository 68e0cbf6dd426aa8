"""Measure how time and memory grow with cells and with candidates.

    python benchmarks/growth.py --output growth.json --plot growth.png

Each size is a process of its own, one after the other.
"""

import argparse
import pathlib

import harness
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

CELLS = (2, 4, 8, 14, 20)
CANDIDATES = (2, 4, 8)
COLUMNS = {
    "cells": lambda row: str(row["cells"]),
    "candidates": lambda row: str(row["candidates"]),
    "build, s": lambda row: f"{row['build_seconds']:.1f}",
    "first step, s": lambda row: f"{row['first_step_seconds']:.1f}",
    "step, s": lambda row: f"{row['step_seconds']:.3f}",
    "peak memory, MB": lambda row: str(row["peak_megabytes"]),
}


def main():
    parser = harness.arguments(__doc__, batch=16)
    parser.add_argument("--plot", type=pathlib.Path, help="PNG file")
    args = parser.parse_args()
    rows = [
        *(measure(args, cells, max(CANDIDATES)) for cells in CELLS),
        *(measure(args, 4, candidates) for candidates in CANDIDATES[:-1]),
    ]
    harness.print_table(rows, COLUMNS)
    harness.write(args.output, vars(args), rows)
    if args.plot:
        plot(args.plot, rows)


def measure(args, cells, candidates):
    sized = argparse.Namespace(**{**vars(args), "cells": cells})
    contestant = harness.Contestant(
        f"{cells} cells, {candidates} candidates",
        "search_step.py",
        *harness.contestant_options(sized),
        "--candidates",
        str(candidates),
    )
    [row] = harness.one_by_one([contestant], args.steps)
    return {"cells": cells, "candidates": candidates, **row}


def plot(path, rows):
    """Draw step and time to first step over cells and over candidates."""
    by_cells = [row for row in rows if row["candidates"] == max(CANDIDATES)]
    by_candidates = [row for row in rows if row["cells"] == 4]
    by_candidates.sort(key=lambda row: row["candidates"])
    figure, axes = plt.subplots(2, 2, figsize=(8, 6), constrained_layout=True)
    columns = (("cells", by_cells), ("candidates", by_candidates))
    for column, (key, found) in zip(axes.T, columns, strict=True):
        x = [row[key] for row in found]
        first = [r["build_seconds"] + r["first_step_seconds"] for r in found]
        draw(column[0], x, [row["step_seconds"] for row in found], "step, s")
        draw(column[1], x, first, "time to first step, s")
        column[1].set_xlabel(f"{key}{'' if key == 'cells' else ' (4 cells)'}")
    figure.savefig(path, dpi=120)


def draw(axis, x, y, label):
    axis.plot(x, y, "o-", color="#0072B2")
    axis.set_ylabel(label)
    axis.set_xticks(x)
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    main()
