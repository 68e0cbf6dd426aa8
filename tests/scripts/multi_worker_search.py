"""One worker of a search, or the whole of it: python ... OUT [STEPS].

TF_CONFIG says whether there are several workers. Given STEPS, the second worker
kills itself after so many steps, once.
"""

import json
import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import snas_keras
from tests import conftest
from tests.scripts import mirrored_search


class DieOnce(keras.callbacks.Callback):
    def __init__(self, steps, marker):
        super().__init__()
        self.steps = steps
        self.marker = marker

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if self.steps == 0 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def batches():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(48, 6)).astype("float32")
    y = (x @ generator.normal(size=(6, 3))).argmax(1)
    return snas_keras.AddressableBatches(x, y, 16)


def main(folder, steps=0):
    # Before anything runs in TensorFlow.
    strategy = (
        tf.distribute.MultiWorkerMirroredStrategy()
        if "TF_CONFIG" in os.environ
        else tf.distribute.get_strategy()
    )
    config = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))
    index = config["task"]["index"]
    folder = pathlib.Path(folder)
    data = batches()
    callbacks = [
        snas_keras.TemperatureSchedule(),
        snas_keras.SearchCheckpoint(folder / "search.npz", data, every=2),
    ]
    if index == 1 and steps:
        callbacks.append(DieOnce(int(steps), folder / "died"))
    with strategy.scope():
        supernet = conftest.compiled(
            conftest.dense(), **mirrored_search.options()
        )
        history = supernet.fit(
            data, epochs=4, verbose=0, callbacks=callbacks
        ).history
        logs = supernet.evaluate(*data.arrays, verbose=0, return_dict=True)
    arrays = {f"history_{k}": v for k, v in history.items()}
    arrays.update({f"evaluated_{k}": v for k, v in logs.items()})
    for number, variable in enumerate(supernet.trainable_variables):
        arrays[f"weights_{number}"] = variable.numpy()
    step = supernet.step.numpy()
    np.savez(folder / f"worker_{index}.npz", step=step, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
