"""Training on several machines at once, where Keras 3 needs help.

Under `tf.distribute.MultiWorkerMirroredStrategy` Keras 3.15 fails in `fit`: it
reduces a whole batch where it only wants its shapes, and takes the mean of a
scalar over an axis that a scalar does not have. Both are mended here; under
every other strategy, and under none, nothing changes.
"""

import json
import os
import socket
import subprocess
import time
import typing
from collections.abc import Sequence

import keras
import tensorflow as tf


class MultiWorkerTraining:
    """Mixin that lets a Keras model train under several workers.

    Put it before `keras.Model`. `SuperNet` has it.
    """

    def compute_metrics(
        self, *args: typing.Any, **kwargs: typing.Any
    ) -> dict[str, typing.Any]:
        """Return the metrics of one step, as `keras.Model` does.

        Args:
            *args: passed to `keras.Model.compute_metrics`.
            **kwargs: passed to `keras.Model.compute_metrics`.

        Returns:
            {metric: tensor}, under several workers of shape (1,) each.
        """
        metrics = super().compute_metrics(*args, **kwargs)
        if not is_multi_worker(self.distribute_strategy):
            return metrics
        # Keras takes their mean over axis 0.
        return keras.tree.map_structure(
            lambda value: tf.reshape(tf.convert_to_tensor(value), [1]), metrics
        )

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        strategy = self.distribute_strategy
        if iterator is None or not is_multi_worker(strategy):
            return super()._maybe_symbolic_build(iterator, data_batch)
        for _, _, batches in iterator:
            data_batch = keras.tree.map_structure(
                lambda x: strategy.experimental_local_results(x)[0],
                next(batches),
            )
            break
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)


@keras.saving.register_keras_serializable(package="snas_keras")
class MultiWorkerModel(MultiWorkerTraining, keras.Model):
    """A functional Keras model that trains under several workers.

    For retraining a child: its layers, and so its weights, are shared.

    Args:
        *args: passed to `keras.Model`: inputs, outputs.
        **kwargs: passed to `keras.Model`.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> child = snas_keras.build_child(space, space.random_genotype(0))
    >>> model = MultiWorkerModel(child.input, child.output)
    >>> model.count_params() == child.count_params()
    True
    """


def is_multi_worker(strategy: tf.distribute.Strategy | None) -> bool:
    """Return whether the strategy spans several processes.

    Args:
        strategy: tf.distribute.Strategy or None.

    Returns:
        bool.
    """
    return (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and strategy.cluster_resolver is not None
        and len(_workers(strategy)) > 1
    )


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Return whether this process writes the files that all share.

    Args:
        strategy: tf.distribute.Strategy or None.

    Returns:
        bool: True but for all workers after the first.
    """
    if not is_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_id == 0


def _workers(strategy):
    spec = strategy.cluster_resolver.cluster_spec()
    return [
        task
        for job in spec.jobs
        if job in ("chief", "worker")
        for task in spec.job_tasks(job)
    ]


def launch(command: Sequence, workers: int = 2, restarts: int = 3) -> int:
    """Run a program as several workers on this machine, and restart them.

    Each worker finds its place in the environment variable TF_CONFIG, on free
    ports of 127.0.0.1. A worker that dies leaves the others waiting for it, so
    all are ended and started again; they resume from their checkpoint.

    Args:
        command: list of str, the program and its arguments.
        workers: int, default 2.
        restarts: int, how often to start all again, default 3.

    Returns:
        int, how often they were started again.

    Raises:
        RuntimeError: a worker failed once more than `restarts`.

    Example:

    >>> launch(["true"], workers=2)
    0
    """
    for restarted in range(restarts + 1):
        codes = _run_workers(command, workers)
        if not any(codes):
            return restarted
    raise RuntimeError(
        f"A worker failed {restarts + 1} times. Exit codes of the last start: "
        f"{codes}; command: {' '.join(map(str, command))}"
    )


def _run_workers(command, workers):
    """Return the exit codes; the first failure ends all."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
    processes = [
        subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, "TF_CONFIG": _configuration(addresses, index)},
        )
        for index in range(workers)
    ]
    try:
        while True:
            codes = [process.poll() for process in processes]
            if any(codes) or None not in codes:
                return codes
            time.sleep(0.2)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _configuration(addresses, index):
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
