"""The log of a search: one record an epoch, as a file and in TensorBoard."""

import os
import pathlib
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snas_keras import supernet as supernet_lib
from snas_keras._utils import files, plots
from snas_keras.reports import _figures, _json, _read, _records, _snapshot

_PICTURE_EPOCHS = 10


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

    A search that diverges is written too: what is not a finite number is null,
    and a `SearchWarning` says so once. Nor does a picture that cannot be drawn
    end the search.

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

    def __init__(
        self,
        run_directory: str | os.PathLike,
        costs: Sequence[str | Callable] = ("parameters",),
        tensorboard: bool | None = None,
    ):
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
        self.last = None
        self.writer = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.snapshot = _snapshot.Snapshot(self.model, self.costs)
        self.lines = None
        self.has_warned = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.lines is None:
            self.lines = self._kept_lines(epoch)
            self._write_search()
        self.started = time.monotonic()

    def _write_search(self):
        self.search = self.snapshot.search()
        with files.replacing(self.run_directory / _read.SEARCH) as temporary:
            text = _json.dumps_sealed(self.search.to_json(), indent=2)
            temporary.write_text(text, encoding="utf-8")

    def _kept_lines(self, epoch):
        """Return the lines before `epoch`; move an older search's file away."""
        path = self.run_directory / _read.LOG
        if not path.exists():
            return []
        if epoch > 0:
            try:
                kept = _read.read_lines(path, _records.Epoch.from_json)
            except ValueError as error:
                _warn(
                    f"A new log is begun, for the old one is damaged: {error}"
                )
            else:
                return [_line(x) for x in kept if x.epoch < epoch]
        path.rename(_unused(path))
        return []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        seconds = time.monotonic() - self.started
        self.last = self.snapshot.epoch(epoch, logs, seconds)
        self.lines.append(_line(self.last))
        with files.replacing(self.run_directory / _read.LOG) as temporary:
            text = "".join(f"{line}\n" for line in self.lines)
            temporary.write_text(text, encoding="utf-8")
        if self.search != self.snapshot.search():
            # Keras knows the metrics' directions from the first batch on.
            self._write_search()
        self._warn_of_divergence()
        if self.tensorboard:
            self._write_summaries()

    def _warn_of_divergence(self):
        diverged = _records.not_finite(self.last)
        if diverged and not self.has_warned:
            self.has_warned = True
            _warn(
                f"Epoch {self.last.epoch + 1} has values that are not finite "
                f"(NaN or infinite): {', '.join(diverged)}. The log has null "
                "in their place."
            )

    def _write_summaries(self):
        if self.writer is None:
            folder = self.run_directory / "tensorboard"
            self.writer = tf.summary.create_file_writer(str(folder))
        with self.writer.as_default(step=self.last.epoch):
            for name, value in _scalars(self.last).items():
                tf.summary.scalar(name, value)
            if self.last.epoch % _PICTURE_EPOCHS == 0:
                self._write_pictures()
        self.writer.flush()

    def _write_pictures(self):
        if not plots.is_installed():
            return
        choices = self.search.choices
        try:
            for name, figure in (
                ("choices", _figures.choices(choices, self.last.probabilities)),
                ("credit", _figures.credit(choices, self.last.credit)),
            ):
                tf.summary.image(name, plots.pixels(figure)[None])
        except Exception as error:  # a side matter: the search goes on
            _warn(f"The pictures for TensorBoard could not be drawn: {error!r}")

    def on_train_end(self, logs: Any = None) -> None:
        if self.writer is not None:
            with self.writer.as_default(step=self.last.epoch):
                self._write_pictures()
            self.writer.close()
            self.writer = None


def _line(epoch):
    return _json.dumps_sealed(epoch.to_json())


def _warn(message):
    warnings.warn(message, supernet_lib.SearchWarning, stacklevel=2)


def _scalars(epoch):
    """Flatten an epoch to what TensorBoard shows."""
    scalars = {
        "temperature": epoch.temperature,
        "entropy": np.mean(list(epoch.entropy.values())),
        "margin": np.mean(list(epoch.margin.values())),
    }
    for name, cost in epoch.costs.items():
        for key in ("expected", "child", "weight"):
            value = getattr(cost, key)
            if value is not None:
                scalars[f"{name}/{key}"] = value
    for name, values in epoch.probabilities.items():
        scalars[f"largest probability/{name}"] = max(values)
    return scalars


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
