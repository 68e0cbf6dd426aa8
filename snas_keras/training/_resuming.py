"""Fast-forwarding of `fit`, and the state of other callbacks."""

import pathlib
import typing

import keras

from snas_keras.training import _attributes


class Skipping:
    """Stands in for the train function until the batches done are past.

    `fit` goes through all batches of the epoch; those that were done before are
    not run, and no other callback but the progress bar hears of them.

    Args:
        checkpoint: SearchCheckpoint, in `fit`.
        done: int, batches of the epoch that are done.
        unread: int, batches that are to be read and left.
    """

    def __init__(self, checkpoint: typing.Any, done: int, unread: int):
        self.checkpoint, self.model = checkpoint, checkpoint.model
        self.left, self.unread = done, unread
        if done % self.model.steps_per_execution and done < checkpoint.steps:
            raise ValueError(
                f"The checkpoint {checkpoint.path} stands at batch {done}, "
                "which `steps_per_execution` must divide. Received: "
                f"steps_per_execution={self.model.steps_per_execution}"
            )
        self.function = self.model.train_function
        self.model.train_function = self.run
        self.list = checkpoint.callbacks
        self.callbacks = self.list and self.list.callbacks
        if done and self.list is not None:
            self.list.callbacks = [
                c
                for c in self.callbacks
                if c is checkpoint
                or isinstance(c, keras.callbacks.ProgbarLogger)
            ]

    def run(self, iterator: typing.Any) -> dict[str, typing.Any]:
        """Do nothing for a batch that is done, or what `fit` asks for.

        Args:
            iterator: of the batches.

        Returns:
            {metric: value}.
        """
        for _ in range(self.unread):
            next(iterator)
        self.unread = 0
        if self.left <= 0:
            self.end()
            return self.function(iterator)
        self.left -= self.model.steps_per_execution
        return self.checkpoint.state["logs"] or self.model.get_metrics_result()

    def end_if_done(self) -> None:
        """Leave the epoch to `fit` where its next batch is a new one."""
        if self.left <= 0:
            self.end()

    def end(self) -> None:
        """Leave the epoch to `fit`."""
        self.model.train_function = self.function
        if self.list is not None:
            self.list.callbacks = self.callbacks
        self.checkpoint.skipping = None


def stateful(
    callbacks: keras.callbacks.CallbackList | None,
) -> list[_attributes.Attributes]:
    """Return the callbacks whose attributes are part of a run's state.

    Args:
        callbacks: keras.callbacks.CallbackList, or None.

    Returns:
        list of Attributes. Ours keep their state in files of their own.
    """
    if callbacks is None:
        return []
    bars = (keras.callbacks.ProgbarLogger, keras.callbacks.History)
    return [
        _attributes.Attributes(callback)
        for callback in callbacks.callbacks
        if not isinstance(callback, bars)
        and not type(callback).__module__.startswith("snas_keras.")
    ]


def check_callbacks(callbacks: list, path: pathlib.Path) -> None:
    """Refuse callbacks that cannot stand beside a checkpoint.

    Args:
        callbacks: list of keras.callbacks.Callback.
        path: pathlib.Path of the checkpoint.

    Raises:
        ValueError: another callback restores the model, or one begins its file
            anew where the search goes on.
    """
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise ValueError(
                "BackupAndRestore and SearchCheckpoint both restore the model: "
                "leave BackupAndRestore out."
            )
        is_csv = isinstance(callback, keras.callbacks.CSVLogger)
        if is_csv and not callback.append and path.exists():
            raise ValueError(
                "CSVLogger would begin its file anew while the run goes on "
                f"from {path}: give it append=True. Received: append=False"
            )


def states(beside: list) -> tuple[list, dict]:
    """Return what has changed in the other callbacks.

    Args:
        beside: list of Attributes.

    Returns:
        (list of [class name, {attribute: JSON}], {name: array}).
    """
    arrays = {}

    def store(array):
        name = f"callbacks.{len(arrays)}"
        arrays[name] = array
        return name

    return [[type(b.thing).__name__, b.changed(store)] for b in beside], arrays


def restore_states(beside: list, saved: list, arrays: dict) -> None:
    """Give the other callbacks their state, each to the next of its kind.

    Args:
        beside: list of Attributes.
        saved: list, as `states` returned it.
        arrays: {name: array}, as `states` returned it.
    """
    left = list(saved)
    for entry in beside:
        name = type(entry.thing).__name__
        own = next((state for state in left if state[0] == name), None)
        if own is not None:
            left.remove(own)
            entry.restore(own[1], arrays.get)


def numbers(logs: dict[str, typing.Any] | None) -> dict[str, float]:
    """Return the logs that JSON can hold.

    Args:
        logs: {metric: value} or None.

    Returns:
        {metric: float}.
    """
    return {
        name: float(value)
        for name, value in (logs or {}).items()
        if isinstance(value, (int, float))
    }
