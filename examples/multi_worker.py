"""Search on several machines, and go on after a kill.

    python examples/multi_worker.py

Without the environment variable TF_CONFIG it starts two workers on this machine
and, when one dies, both again from the checkpoint; then it trains the child. On
a cluster, set TF_CONFIG on each machine as TensorFlow documents it, run this
program there and let `FOLDER` be one that all of them see.
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
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SPACE = snas_keras.SEARCH_SPACES["digits"](filters=8)
x, y = datasets.load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = model_selection.train_test_split(
    x.reshape(-1, 8, 8, 1) / 16, y, random_state=0
)


def search():
    # Before anything else runs in TensorFlow.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(0)
    # All workers have the same batches; each computes its share of every one.
    batches = snas_keras.AddressableBatches(x_train, y_train, batch_size=64)
    with strategy.scope():
        supernet = snas_keras.build_supernet(SPACE)
        supernet.compile("adam", keras.optimizers.Adam(0.03), LOSS)
        schedule = snas_keras.TemperatureSchedule()
        path = FOLDER / "search.npz"
        checkpoint = snas_keras.SearchCheckpoint(path, batches, every=10)
        supernet.fit(batches, epochs=8, callbacks=[schedule, checkpoint])
    if training.is_chief(strategy):
        supernet.derive().save(FOLDER / "genotype.json")


if "TF_CONFIG" in os.environ:
    search()
else:
    training.launch([sys.executable, __file__], workers=2)
    keras.utils.set_random_seed(0)
    genotype = snas_keras.Genotype.load(FOLDER / "genotype.json")
    child = snas_keras.build_child(SPACE, genotype, filters=24)
    child.compile(keras.optimizers.Adam(0.003), LOSS, metrics=["accuracy"])
    child.fit(x_train, y_train, epochs=15)
    accuracy = child.evaluate(x_test, y_test, return_dict=True)["accuracy"]
    print(f"Genotype: {dict(genotype)}")
    print(f"Test accuracy of the child, trained anew: {accuracy:.3f}")
