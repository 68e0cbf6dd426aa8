"""What all benchmarks share: contestants that take their steps in turn.

A contestant is a process of its own. It gets ready, prints what it knows about
itself as one line of JSON, and then takes one step for every line it reads. So
contestants on one machine can take turns, step by step, and their ratio holds
while the machine's speed drifts.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata

HERE = pathlib.Path(__file__).parent
SIZES = {"cells": 8, "channels": 16, "batch": 64, "image": 32}
PACKAGES = ("tensorflow", "keras", "snas-keras", "torch")


def seconds(function):
    """Return how long the function took, and what it returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def serve(timed_step, facts):
    """Take one step for every line of the standard input.

    Args:
        timed_step: function of no arguments that returns seconds.
        facts: dict, what the contestant says of itself once it is ready.
    """
    print(json.dumps({**facts, **versions()}), flush=True)
    for _ in sys.stdin:
        taken = timed_step()
        report = {"seconds": taken, "peak_megabytes": peak_megabytes()}
        print(json.dumps(report), flush=True)


def timed(step):
    """Make a function that returns how long a step took."""
    return lambda: seconds(step)[0]


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine():
    """Describe where the benchmark ran."""
    return {
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }


def _processor():
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1] for line in lines if "model name" in line]
    return names[0].strip() if names else platform.machine()


def arguments(description, *, steps=5, batch=64, cells=8):
    """Make a parser with the options that all comparisons have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    sizes = {**SIZES, "batch": batch, "cells": cells}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    parser.add_argument("--serve", action="store_true", help="as contestant")
    return parser


def contestant_options(args):
    """Return the size of the work as options of a contestant."""
    sizes = [(f"--{name}", str(getattr(args, name))) for name in SIZES]
    return ["--serve", *(part for pair in sizes for part in pair)]


class Contestant:
    """A script of this folder in a process of its own.

    Args:
        name: str, for the table.
        script: str, file name.
        *options: str, of the script.
        python: str, the interpreter, default this one.
    """

    def __init__(self, name, script, *options, python=sys.executable):
        self.name = name
        self.command = [python, str(HERE / script), *options]
        self.process = None
        self.facts, self.steps = {}, []
        self.peak_megabytes = 0

    def start(self):
        self.errors = tempfile.TemporaryFile("w+")
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
        self.process = subprocess.Popen(
            self.command,
            env=quiet,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.facts = self._read()

    def take_step(self):
        print(file=self.process.stdin, flush=True)
        report = self._read()
        self.steps.append(report["seconds"])
        self.peak_megabytes = report["peak_megabytes"]

    def stop(self):
        if self.process is not None:
            self.process.communicate()
            self.errors.close()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(
                f"A contestant ended early: {' '.join(self.command)}\n"
                f"{self.errors.read()[-3000:]}"
            )
        return json.loads(line)

    def report(self):
        return {
            "name": self.name,
            **self.facts,
            "step_seconds": statistics.median(self.steps),
            "all_steps_seconds": self.steps,
            "peak_megabytes": self.peak_megabytes,
        }


def side_by_side(contestants, steps):
    """Let the contestants take their steps in turn.

    Args:
        contestants: list of Contestant.
        steps: int, counted steps of each, after the first one.

    Returns:
        list of dict, one a contestant; `ratio` is the median over the rounds
        of its step by the step of the first contestant.
    """
    with contextlib.ExitStack() as stack:
        for contestant in contestants:
            show(f"preparing {contestant.name}")
            stack.callback(contestant.stop)
            contestant.start()
        for done in range(steps):
            show(f"round {done + 1} of {steps}")
            for contestant in contestants:
                contestant.take_step()
    reports = [contestant.report() for contestant in contestants]
    for report in reports:
        report["ratio"] = ratio(report, reports[0])
    return reports


def one_by_one(contestants, steps):
    """Let each contestant take all its steps before the next one starts.

    Args:
        contestants: list of Contestant.
        steps: int, counted steps of each, after the first one.

    Returns:
        list of dict as of `side_by_side`; the ratio is that of the medians.
    """
    reports = [side_by_side([c], steps)[0] for c in contestants]
    for report in reports:
        report["ratio"] = report["step_seconds"] / reports[0]["step_seconds"]
    return reports


def ratio(report, first):
    pairs = zip(
        report["all_steps_seconds"], first["all_steps_seconds"], strict=True
    )
    return statistics.median(one / other for one, other in pairs)


def check_same(rows, keys):
    """Refuse contestants that do not update the same numbers.

    Args:
        rows: list of dict, of `side_by_side`.
        keys: list of str, what must be equal.

    Raises:
        ValueError: two rows differ.
    """
    first = rows[0]
    for row in rows:
        for key in keys:
            if row[key] != first[key]:
                raise ValueError(
                    f"The contestants must have the same {key}. Received: "
                    f"{first['name']!r} has {first[key]}, {row['name']!r} has "
                    f"{row[key]}"
                )


def show(line):
    print(line, file=sys.stderr, flush=True)


def print_table(rows, columns):
    """Print rows of dict as a table in Markdown.

    Args:
        rows: list of dict.
        columns: {heading: function of the row -> str}.
    """
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(cell(row) for cell in columns.values()) + " |")


STEP_COLUMNS = {
    "contestant": lambda row: row["name"],
    "step, s": lambda row: f"{row['step_seconds']:.3f}",
    "ratio": lambda row: f"{row['ratio']:.2f}",
    "peak memory, MB": lambda row: str(row["peak_megabytes"]),
}


def write(path, options, rows):
    """Write rows with script, options and machine as one JSON file."""
    places = {"output", "plot", "pytorch"}
    report = {
        "script": pathlib.Path(sys.argv[0]).name,
        "options": {k: v for k, v in options.items() if k not in places},
        "machine": machine(),
        "rows": rows,
    }
    if path:
        path.write_text(json.dumps(report, indent=2) + "\n")
