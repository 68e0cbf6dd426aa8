"""Search on several machines, and go on after a kill.

    python examples/multi_worker.py

Without the environment variable TF_CONFIG it starts two workers on this machine
and, when one dies, starts both again from the checkpoint. On a cluster, set
TF_CONFIG on each machine as TensorFlow documents it, run this program there and
let `FOLDER` be one that all of them see.
"""

import os
import pathlib
import sys

import keras
import tensorflow as tf
from sklearn import datasets, model_selection

import snas_keras
from snas_keras import training

FOLDER = pathlib.Path("runs/multi_worker")


def search():
    # Before anything else runs in TensorFlow.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(0)
    images, labels = datasets.load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = model_selection.train_test_split(
        images.reshape(-1, 8, 8, 1) / 16, labels, test_size=512, random_state=0
    )
    # All workers have the same batches; each computes its share of every one.
    batches = snas_keras.AddressableBatches(x_train, y_train, batch_size=64)
    checkpoint = snas_keras.SearchCheckpoint(FOLDER / "search.npz", batches, 10)
    with strategy.scope():
        space = snas_keras.SEARCH_SPACES["digits"](filters=8)
        supernet = snas_keras.build_supernet(space)
        supernet.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.optimizers.Adam(0.03),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        schedule = snas_keras.TemperatureSchedule()
        supernet.fit(batches, epochs=6, callbacks=[schedule, checkpoint])
        test = supernet.evaluate(x_test, y_test, 64, return_dict=True)
    if training.is_chief(strategy):
        supernet.derive().save(FOLDER / "genotype.json")
        print(f"Genotype: {dict(supernet.derive())}")
        print(f"Test accuracy of the child: {test['accuracy']:.3f}")


if "TF_CONFIG" in os.environ:
    search()
else:
    restarts = training.launch([sys.executable, __file__], workers=2)
    print(f"Two workers, started again {restarts} times.")
