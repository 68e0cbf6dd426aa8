"""Checkpoints from which a search, or a retraining, goes on exactly."""

import json
import pathlib
import warnings
import zipfile
import zlib

import keras
import numpy as np

from snas_keras._utils import checks, files
from snas_keras.training import _batches, _multi_worker


class SearchCheckpoint(keras.callbacks.Callback):
    """Save the training state, and resume from it, exactly.

    Run the same script again after a kill: `fit` goes on where the file stands,
    in the middle of an epoch too, and ends with the very weights, logits,
    optimizer state, temperature and history of a run that was never stopped.
    It works for any Keras model, retraining included.

    The state of other callbacks is not saved (`EarlyStopping` starts afresh).
    Under several workers the first one writes, and all read the same path.

    Args:
        path: path of the file, e.g. "runs/search.npz". It is replaced in one
            piece.
        batches: `AddressableBatches`, the same that `fit` is given.
        every: int, steps between two saves within an epoch, default None: only
            at the end of every epoch.

    Raises:
        TypeError: `batches` is no AddressableBatches.
        ValueError: `every` is not a positive int; at the start of `fit`: the
            file is damaged, or from another model; nothing is loaded then.
    """

    def __init__(self, path, batches, every=None):
        super().__init__()
        if not isinstance(batches, _batches.AddressableBatches):
            raise TypeError(
                "`batches` must be the AddressableBatches that fit is given. "
                f"Received: batches={batches!r}"
            )
        self.path = pathlib.Path(path)
        self.batches = batches
        self.every = every and checks.positive_int("every", every)
        self.state = {"epoch": 0, "batch": 0, "epochs": [], "history": {}}
        self.first_batch = 0
        self.metric_values = None
        self.end_of_epoch = None

    def on_train_begin(self, logs=None):
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if _multi_worker.is_chief(self.model.distribute_strategy):
            files.remove_leftovers(self.path)
        if self.path.exists():
            self._restore()

    def on_epoch_begin(self, epoch, logs=None):
        self.first_batch = 0
        if self.metric_values is not None:
            self._resume_epoch()
        self.batches.seek(epoch, self.first_batch)
        self.state.update(epoch=epoch, batch=self.first_batch)

    def on_train_batch_end(self, batch, logs=None):
        before = self.state["batch"]
        self.state["batch"] = self.first_batch + batch + 1
        if self.every and before // self.every < (
            self.state["batch"] // self.every
        ):
            self._save()
        if self.first_batch and (
            self.state["batch"] == self.batches.batches_per_epoch
        ):
            self.end_of_epoch = self._values()

    def on_epoch_end(self, epoch, logs=None):
        self._undo_the_empty_step()
        for name, value in (logs or {}).items():
            self.state["history"].setdefault(name, []).append(float(value))
        self.state["epochs"].append(epoch)
        self.state.update(epoch=epoch + 1, batch=0)
        self._save()

    def on_train_end(self, logs=None):
        # `fit` reads it and never sets it back.
        self.model._initial_epoch = None

    def _save(self):
        arrays = {
            **self._values(),
            "state": np.array(json.dumps(self.state)),
        }
        # All workers read their variables together; one writes.
        if not _multi_worker.is_chief(self.model.distribute_strategy):
            return
        with files.replacing(self.path) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)

    def _restore(self):
        self._build_metrics()
        variables = self._variables()
        arrays = _read(self.path)
        self.state = json.loads(str(arrays.pop("state")))
        _check_fit(self.path, variables, arrays)
        for name, variable in variables.items():
            variable.assign(arrays[name])
        # `fit` resets the metrics before the epoch begins.
        self.metric_values = [v.numpy() for v in self._metric_variables()]
        self.model._initial_epoch = self.state["epoch"]
        self.model.history.history = _copy(self.state["history"])
        if self.params.get("verbose"):
            print(
                f"Resuming from {self.path}: epoch {self.state['epoch'] + 1}, "
                f"batch {self.state['batch']}."
            )

    def _resume_epoch(self):
        self.model.history.epoch = list(self.state["epochs"])
        self.first_batch = self.state["batch"]
        if self.first_batch:
            for variable, value in zip(
                self._metric_variables(), self.metric_values, strict=True
            ):
                variable.assign(value)
            # The rest of an epoch is shorter than Keras expects.
            warnings.filterwarnings("ignore", "Your input ran out of data")
        self.metric_values = None

    def _undo_the_empty_step(self):
        """Take back what a step without a batch has done.

        A resumed epoch is shorter than Keras expects: it asks for one batch
        more than there is. By then TensorFlow may have advanced the counters
        and random states that do not wait for the batch.
        """
        if self.end_of_epoch is not None:
            for name, variable in self._variables().items():
                variable.assign(self.end_of_epoch[name])
            self.end_of_epoch = None

    def _values(self):
        return {k: v.numpy() for k, v in self._variables().items()}

    def _build_metrics(self):
        """Make the metrics' variables, which Keras does in the first step."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(self.batches[0])
        y_pred = self.model(x)
        self.model.compute_loss(x, y, y_pred, weight)
        self.model.compute_metrics(x, y, y_pred, weight)
        self.model.reset_metrics()

    def _variables(self):
        groups = {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
            "metrics": self._metric_variables(),
        }
        return {
            f"{group}.{index}": variable
            for group, variables in groups.items()
            for index, variable in enumerate(variables)
        }

    def _metric_variables(self):
        return [v for m in self.model.metrics for v in m.variables]


def _read(path):
    try:
        with open(path, "rb") as opened:
            with np.load(opened, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise ValueError(
            f"The checkpoint {path} is damaged ({error}). Nothing was loaded; "
            "remove the file to start afresh."
        ) from error


def _check_fit(path, variables, arrays):
    """Refuse a checkpoint that does not fit, before anything is assigned."""
    wanted = {k: (tuple(v.shape), v.dtype) for k, v in variables.items()}
    found = {k: (a.shape, a.dtype.name) for k, a in arrays.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            label = variables[name].path if name in variables else name
            raise ValueError(
                f"The checkpoint {path} is from another model: variable "
                f"{label!r} should be {wanted.get(name)}, the file has "
                f"{found.get(name)}. Nothing was loaded."
            )


def _copy(history):
    return {name: list(values) for name, values in history.items()}
