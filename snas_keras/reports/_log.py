"""What a search decided, epoch by epoch: a file, and TensorBoard."""

import json
import math
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from snas_keras._utils import files, plots
from snas_keras.reports import _figures, _snapshot

LOG = "search.jsonl"
ABOUT = "search.json"
_PICTURE_EPOCHS = 10
_NUMBER = (int, float)
# What the files must hold to be read.
_ABOUT_KINDS = {
    "name": str,
    "choices": dict,
    "children": int,
    "costs": dict,
    "versions": dict,
}
_LINE_KINDS = {
    "epoch": int,
    "seconds": _NUMBER,
    "logs": dict,
    "temperature": _NUMBER,
    "probabilities": dict,
    "entropy": dict,
    "credit": dict,
    "costs": dict,
    "genotype": dict,
}


class SearchLogger(keras.callbacks.Callback):
    """Write one line of JSON for every epoch of a search.

    The run directory gets `search.json`, which says what is searched, and
    `search.jsonl`. A line holds, after its epoch, the metrics, the temperature,
    for every choice the probabilities, entropy, margin between the first two
    and credit of its candidates, for every cost its expected value and that of
    the child, and the genotype.

    A resumed search goes on with the file; lines of epochs that are run again
    are replaced. A search from epoch 0 moves an older file aside. Put it before
    `SearchCheckpoint`, so that no epoch is saved without its line.

    Where TensorBoard is installed, the same scalars go to the folder
    `tensorboard` of the run directory, and with matplotlib every tenth epoch,
    and at the end, pictures of the choices and of the credit.

    Args:
        run_directory: path of a folder, which is made.
        costs: sequence of str or function (layer, input_shape) -> float, that
            are followed beside those the supernet is compiled with, default the
            parameters.
        tensorboard: bool, whether to write for TensorBoard, default None: where
            it is installed.

    Raises:
        ModuleNotFoundError: TensorBoard is asked for and missing.
        TypeError: at the start of `fit`: the model is no SuperNet, or a cost
            does not know a layer's type.

    Example:

    >>> callback = SearchLogger("runs/search", tensorboard=False)
    """

    def __init__(self, run_directory, costs=("parameters",), tensorboard=None):
        super().__init__()
        self.run_directory = pathlib.Path(run_directory)
        self.costs = tuple(costs)
        has_tensorboard = _has_tensorboard()
        if tensorboard and not has_tensorboard:
            raise ModuleNotFoundError(
                "TensorBoard is not installed. Install the extra: pip install "
                "'snas-keras[tensorboard]'"
            )
        self.tensorboard = tensorboard is not False and has_tensorboard
        self.lines = None
        self.writer = None

    def on_train_begin(self, logs=None):
        self.watch = _snapshot.Watch(self.model, self.costs)
        self.lines = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.lines is None:
            self.lines = self._kept_lines(epoch)
            with files.replacing(self.run_directory / ABOUT) as temporary:
                temporary.write_text(_dump(self.watch.about(), indent=2))
        self.started = time.monotonic()

    def _kept_lines(self, epoch):
        """Return the lines before `epoch`; move an older search's file away."""
        path = self.run_directory / LOG
        if not path.exists():
            return []
        lines = path.read_text().splitlines()
        if epoch == 0:
            aside = _unused(path)
            path.rename(aside)
            return []
        return [line for line in lines if json.loads(line)["epoch"] < epoch]

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self.started
        line = {
            "epoch": epoch,
            "seconds": round(seconds, 3),
            "logs": {k: float(v) for k, v in (logs or {}).items()},
            **self.watch.line(),
        }
        self.lines.append(_dump(line))
        with files.replacing(self.run_directory / LOG) as temporary:
            temporary.write_text("".join(f"{text}\n" for text in self.lines))
        if self.tensorboard:
            self._write_summaries(line)

    def _write_summaries(self, line):
        if self.writer is None:
            folder = self.run_directory / "tensorboard"
            self.writer = tf.summary.create_file_writer(str(folder))
        with self.writer.as_default(step=line["epoch"]):
            for name, value in _scalars(line).items():
                tf.summary.scalar(name, value)
            if line["epoch"] % _PICTURE_EPOCHS == 0:
                self._write_pictures(line)
        self.writer.flush()

    def _write_pictures(self, line):
        if not plots.is_installed():
            return
        choices = self.watch.about()["choices"]
        for name, figure in (
            ("choices", _figures.choices(choices, line["probabilities"])),
            ("credit", _figures.credit(choices, line)),
        ):
            tf.summary.image(name, plots.pixels(figure)[None])

    def on_train_end(self, logs=None):
        if self.writer is not None:
            last = json.loads(self.lines[-1])
            with self.writer.as_default(step=last["epoch"]):
                self._write_pictures(last)
            self.writer.close()
            self.writer = None


def read_log(run_directory):
    """Read what `SearchLogger` has written.

    Args:
        run_directory: path of the folder.

    Returns:
        (about, lines): what `search.json` says, and one dict an epoch.

    Raises:
        FileNotFoundError: there is no log.
        ValueError: a file is damaged, or a line is not of this search.
    """
    run_directory = pathlib.Path(run_directory)
    path = run_directory / ABOUT
    about = _parsed(_text(path), path, _ABOUT_KINDS)
    path = run_directory / LOG
    lines = read_lines(path, _LINE_KINDS)
    if not lines:
        raise ValueError(f"The log {path} is empty: no epoch has ended yet.")
    for number, line in enumerate(lines, 1):
        _check_line(line, f"{path}, line {number}", about["choices"])
    return about, lines


def read_lines(path, kinds):
    """Read a file that holds one JSON object a line.

    Args:
        path: path of the file.
        kinds: {key: type}, what every line must have.

    Returns:
        list of dict.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is damaged or lacks a key; the message names it.
    """
    return [
        _parsed(text, f"{path}, line {number}", kinds)
        for number, text in enumerate(_text(path).splitlines(), 1)
    ]


def _text(path):
    try:
        return files.existing(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _parsed(text, place, kinds):
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{place} is damaged: {error}") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), kind) for key, kind in kinds.items()
    ):
        wanted = ", ".join(f"{k!r}: {_word(v)}" for k, v in kinds.items())
        raise ValueError(
            f"{place} is not of a search log: it must be a JSON object with "
            f"{{{wanted}}}. Received: {text[:80]!r}"
        )
    return content


def _word(kind):
    return "number" if kind is _NUMBER else kind.__name__


def _check_line(line, place, choices):
    """Refuse a line whose choices or candidates are not those searched."""
    for key in ("genotype", "probabilities", "entropy", "credit"):
        if set(line[key]) != set(choices):
            raise ValueError(
                f"{place}, is of another search than {ABOUT}: the choices of "
                f"its {key} are {sorted(line[key])}, there they are "
                f"{sorted(choices)}."
            )
    for name, candidates in choices.items():
        p, taken = line["probabilities"][name], line["genotype"][name]
        if taken not in candidates or len(p) != len(candidates):
            raise ValueError(
                f"{place}, is of another search than {ABOUT}: choice {name!r} "
                f"takes {taken!r} and has {len(p)} probabilities, there its "
                f"candidates are {candidates}."
            )


def _scalars(line):
    """Flatten a line to what TensorBoard shows."""
    scalars = {
        "temperature": line["temperature"],
        "entropy": np.mean(list(line["entropy"].values())),
        "margin": np.mean(list(line["margin"].values())),
    }
    for name, cost in line["costs"].items():
        known = {k: v for k, v in cost.items() if v is not None}
        scalars.update({f"{name}/{k}": v for k, v in known.items()})
    for name, values in line["probabilities"].items():
        scalars[f"largest probability/{name}"] = max(values)
    return scalars


def _dump(content, **options):
    # A metric that is not a number would make the line unreadable elsewhere.
    return json.dumps(_finite(content), allow_nan=False, **options)


def _finite(content):
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return content


def _unused(path):
    number = 1
    while path.with_name(f"{path.stem}-{number}{path.suffix}").exists():
        number += 1
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _has_tensorboard():
    try:
        import tensorboard  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True
