"""Timing of computations that take turns on one machine."""

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_WARM_UP = 3
_TRIES = 3


class Clock:
    """Times computations that take turns.

    Args:
        batch_size: int, examples in an input.
        repeats: int, turns of each computation.
        verbose: int, 0 for no progress bar.
    """

    def __init__(self, batch_size: int, repeats: int, verbose: int):
        self.batch_size = batch_size
        self.repeats = repeats
        self.verbose = verbose

    def __call__(self, computations: Any, copies: int) -> np.ndarray:
        """Time computations, in turns.

        Args:
            computations: sequence of (function, KerasTensor that it takes or a
                structure of such).
            copies: int, how often a function runs in one timed program.

        Returns:
            float array, milliseconds, shape (computations, repeats).
        """
        progress = keras.utils.Progbar(
            len(computations) + self.repeats, verbose=self.verbose
        )
        pairs, seconds = [], []
        for function, specs in computations:
            inputs = [self._batch(specs, seed) for seed in range(copies)]
            pairs.append((_program(function, inputs), _program(None, inputs)))
            progress.add(1)
        for _ in range(self.repeats):
            seconds.append(
                [_seconds(busy) - _seconds(idle) for busy, idle in pairs]
            )
            progress.add(1)
        return 1e3 / copies * np.transpose(seconds)

    def _batch(self, specs, seed):
        generator = np.random.default_rng(seed)

        def batch(spec):
            shape = (self.batch_size, *spec.shape[1:])
            values = generator.random(shape, "float32")
            if spec.dtype == "string":
                return tf.strings.as_string(values)
            return tf.cast(values, spec.dtype)

        return keras.tree.map_structure(batch, specs)


def _program(function, inputs):
    """Return a warm program that runs a function on each input, in this order.

    Each run waits for the one before, and each result is used: TensorFlow can
    neither merge runs nor leave one out. Without a function it does the rest.
    """

    @tf.function(autograph=False)
    def program(inputs):
        results = []
        for x in inputs:
            with tf.control_dependencies(results[-1:]):
                x = keras.tree.map_structure(tf.identity, x)
                results.append(_first_number(function(x) if function else x))
        return tf.add_n(results)

    # Not `program` itself, which warns of many programs traced in a row.
    traced = program.get_concrete_function(inputs)

    def run():
        # To read the result is to wait for it, which matters on a GPU.
        return traced(inputs).numpy()

    for _ in range(_WARM_UP):
        run()
    return run


def _first_number(outputs):
    def number(y):
        y = tf.reshape(y, [-1])[0]
        return tf.cast(
            tf.strings.length(y) if y.dtype == "string" else y, "float32"
        )

    return tf.add_n([number(y) for y in keras.tree.flatten(outputs)])


def _seconds(run):
    """Return the seconds of the fastest of some runs.

    What interrupts a run only ever adds to it.
    """
    seconds = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
