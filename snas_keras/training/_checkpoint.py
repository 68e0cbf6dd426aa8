"""Checkpoints for an exact resume of a search or a retraining."""

import collections
import copy
import pathlib
import typing

import keras

from snas_keras._utils import callback_list, checks, files
from snas_keras.training import (
    _checkpoint_file,
    _multi_worker,
    _resuming,
    _sources,
)

Logs = dict[str, typing.Any] | None
_NEW = {"epoch": 0, "batch": 0, "epochs": [], "history": {}, "logs": {}}


class SearchCheckpoint(keras.callbacks.Callback):
    """Save the training state, and resume from it, exactly.

    Run the same script again after a kill: `fit` goes on where the file stands,
    in the middle of an epoch too, and ends with the very weights, logits,
    optimizer state, temperature and history of a run that was never stopped.
    It works for any Keras model, retraining included.

    The callbacks beside it go on, too: numbers, strings, arrays and lists and
    dicts of them among their attributes are saved, such as the patience that
    `EarlyStopping` and `ReduceLROnPlateau` have left, and a search that was
    stopped early stays stopped. Those of this library keep their state in files
    of their own.

    A state that is not a number is not saved: `fit` ends with an error, and the
    file keeps the last good one.

    In a tuner of Keras Tuner every trial has a file of its own, beside `path`.
    Under several workers the first one writes, and all read the same path.

    Args:
        path: path of the file, e.g. "runs/search.npz". It is replaced in one
            piece.
        batches: what `fit` is given: AddressableBatches; a
            `keras.utils.PyDataset` whose batches depend on their index and on
            attributes that change between epochs; or a `tf.data.Dataset` that
            is seeded. The last two are read from the start of the epoch to the
            position, which takes its time.
        every: int, steps between two saves within an epoch, default None: only
            at the end of every epoch.

    Raises:
        TypeError: `batches` has no position to go on from.
        ValueError: `every` is not a positive int; at the start of `fit`: the
            file is damaged, or from another model, other data or other
            settings, and nothing is loaded then; or the data are not
            repeatable.

    Example:

    >>> batches = snas_keras.AddressableBatches(np.ones((8, 2)), None, 4)
    >>> callback = SearchCheckpoint("runs/search.npz", batches, every=100)
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        batches: typing.Any,
        every: int | None = None,
    ):
        super().__init__()
        self.path = self.base_path = pathlib.Path(path)
        self.batches = batches
        self.source = _sources.source(batches)
        self.every = every and checks.positive_int("every", every)
        # Fits that have ended, for each trial; shared by all copies.
        self.executions = collections.Counter()
        self._begin_anew()

    def _begin_anew(self):
        self.state = copy.deepcopy(_NEW)
        self.beside = []
        self.callbacks = None
        self.trial_id = None
        self.loaded = None
        self.data_arrays = {}
        self.skipping = None
        self.has_stopped_within = False

    def __deepcopy__(self, memo):
        """Copy it for another trial; the data stay those that `fit` reads."""
        copied = type(self)(self.base_path, self.batches, self.every)
        copied.executions = self.executions
        return copied

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._begin_anew()
        self.callbacks = callback_list.calling()
        if self.callbacks is None:
            return
        others = [c for c in self.callbacks.callbacks if c is not self]
        # Behind all others, so that their state of the same moment is saved.
        self.callbacks.callbacks = [*others, self]
        self.path = self._own_path(others)
        _resuming.check_callbacks(others, self.path)

    def _own_path(self, others):
        """Return the file of this trial and execution of a tuner, or `path`."""
        trials = [c.trial.trial_id for c in others if hasattr(c, "trial")]
        if not trials:
            return self.base_path
        self.trial_id = trials[0]
        stem, suffix = self.base_path.stem, self.base_path.suffix
        execution = self.executions[self.trial_id]
        return self.base_path.with_name(
            f"{stem}-trial_{self.trial_id}-{execution}{suffix}"
        )

    def on_train_begin(self, logs: Logs = None) -> None:
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if _multi_worker.is_chief(self.model.distribute_strategy):
            files.remove_leftovers(self.path)
        self.steps = self.params["steps"]
        self.source.check(self.steps, self.model.distribute_strategy)
        self.beside = _resuming.stateful(self.callbacks)
        self.compiled = _checkpoint_file.compilation(self.model)
        if self.path.exists():
            self._restore()
        else:
            self.state["data"] = self.source.state(self._store_data)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        batch = unread = 0
        if self.loaded is not None:
            batch = self._resume_epoch()
            unread = self.source.unread(epoch, batch, self.steps)
        self.source.begin(epoch, batch)
        self.state.update(epoch=epoch, batch=batch)
        if batch or unread:
            self.skipping = _resuming.Skipping(self, batch, unread)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.skipping is not None:
            self.skipping.end_if_done()
            return
        before = self.state["batch"]
        done = min(batch + 1, self.steps)
        self.state["batch"] = done
        self.state["logs"] = _resuming.numbers(logs)
        self.has_stopped_within = self.model.stop_training and done < self.steps
        crosses = self.every and before // self.every < done // self.every
        if crosses or self.has_stopped_within:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.has_stopped_within:
            return
        for name, value in (logs or {}).items():
            self.state["history"].setdefault(name, []).append(float(value))
        self.state["epochs"].append(epoch)
        self.state.update(epoch=epoch + 1, batch=0, logs={})
        self.state["is_stopped"] = any(
            isinstance(c, keras.callbacks.EarlyStopping) and c.stopped_epoch
            for c in (entry.thing for entry in self.beside)
        )
        self.data_arrays = {}
        self.state["data"] = self.source.state(self._store_data)
        self._save()

    def on_train_end(self, logs: Logs = None) -> None:
        # `fit` reads it and never sets it back.
        self.model._initial_epoch = None
        if self.trial_id is not None:
            self.executions[self.trial_id] += 1

    def _store_data(self, array):
        name = f"data.{len(self.data_arrays)}"
        self.data_arrays[name] = array
        return name

    def _save(self):
        variables = self._variables()
        arrays = {k: v.numpy() for k, v in variables.items()}
        bad = _checkpoint_file.not_finite(variables, arrays)
        if bad:
            raise ValueError(
                f"The training has failed: {bad!r} is NaN or infinite in epoch "
                f"{self.state['epoch'] + 1}, batch {self.state['batch']}. The "
                f"checkpoint {self.path} keeps the last good state, if any."
            )
        # All workers read their variables together; one writes.
        if not _multi_worker.is_chief(self.model.distribute_strategy):
            return
        state = {
            **self.state,
            **_checkpoint_file.identity(self.model),
            "batches": self.source.description,
            "dtypes": _checkpoint_file.special_dtypes(variables),
            "compiled": [
                self.compiled,
                _checkpoint_file.compilation(self.model),
            ],
        }
        state["callbacks"], beside = _resuming.states(self.beside)
        _checkpoint_file.write(
            self.path, {**arrays, **self.data_arrays, **beside}, state
        )

    def _restore(self):
        self._build_metrics()
        arrays, state = _checkpoint_file.read(self.path)
        self._check(state)
        extra = {k: arrays.pop(k) for k in list(arrays) if _is_extra(k)}
        variables = self._variables()
        arrays = _checkpoint_file.check_variables(
            self.path, variables, arrays, state.get("dtypes", {})
        )
        self.loaded = {**state, "arrays": extra}
        self._restore_data()
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self.state.update({k: v for k, v in state.items() if k in _NEW})
        # `fit` resets the metrics before the epoch begins.
        self.metric_values = [v.numpy() for v in self._metric_variables()]
        if not self.state["batch"]:
            self._restore_beside()
        self._restore_history()
        # A search that was stopped early has no epoch left.
        is_stopped = state.get("is_stopped", False)
        self.model._initial_epoch = (
            self.params["epochs"] if is_stopped else self.state["epoch"]
        )
        if self.params.get("verbose"):
            print(
                f"Resuming from {self.path}: epoch {self.state['epoch'] + 1}, "
                f"batch {self.state['batch']}."
            )

    def _restore_data(self):
        data = self.loaded.get("data")
        if data is None:  # A file of the first release.
            self.state["data"] = self.source.state(self._store_data)
            return
        arrays = self.loaded["arrays"]
        self.source.restore(self.loaded["epoch"], data, arrays.get)
        self.state["data"] = data
        self.data_arrays = {
            k: v for k, v in arrays.items() if k.startswith("data.")
        }

    def _check(self, state):
        _checkpoint_file.check_model(
            self.path, _checkpoint_file.identity(self.model), state
        )
        for what, found, allowed in (
            ("data", self.source.description, [state.get("batches")]),
            ("optimizer", self.compiled, state.get("compiled", [None])),
        ):
            if None not in (found, *allowed) and found not in allowed:
                raise ValueError(
                    f"The checkpoint {self.path} is from another model or run: "
                    f"its {what} was {allowed[0]}. Received: {found}. Nothing "
                    "was loaded."
                )

    def _restore_history(self):
        self.model.history.history = copy.deepcopy(self.state["history"])
        self.model.history.epoch = list(self.state["epochs"])

    def _restore_beside(self):
        _resuming.restore_states(
            self.beside,
            self.loaded.get("callbacks", []),
            self.loaded["arrays"],
        )

    def _resume_epoch(self):
        """Take up the state within an epoch; return the next batch."""
        batch = self.state["batch"]
        self._restore_history()
        if batch:
            self._restore_beside()
            for variable, value in zip(
                self._metric_variables(), self.metric_values, strict=True
            ):
                variable.assign(value)
        self.loaded = None
        return batch

    def _build_metrics(self):
        """Make the metrics' variables, which Keras does in the first step."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(self.source.first())
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


def _is_extra(name):
    """Say whether an array is of the data or of another callback."""
    return name.startswith(("data.", "callbacks."))
