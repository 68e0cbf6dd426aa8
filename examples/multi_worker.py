"""Search on several machines: every worker computes a part of each batch.

    python examples/multi_worker.py

Without the environment variable TF_CONFIG it starts two workers on this machine
and, when one dies, starts both again from the checkpoint. On a cluster, set
TF_CONFIG on each machine as TensorFlow documents it, run the same program there
and let --output be a folder that all of them see.
"""

import argparse
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets

import snas_keras
from snas_keras import training as training_lib


def load():
    """Return ((images, labels) to train on, the same to validate on)."""
    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    order = np.random.default_rng(0).permutation(len(x))
    train, valid = order[:1280], order[1280:1664]
    return (x[train], y[train]), (x[valid], y[valid])


def search(output, epochs):
    # Before anything else runs in TensorFlow.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    is_chief = training_lib.is_chief(strategy)
    train, valid = load()
    # All workers have the same batches; each computes its share of every one.
    batches = snas_keras.AddressableBatches(*train, batch_size=64)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        space = snas_keras.SEARCH_SPACES["digits"](filters=8)
        supernet = snas_keras.build_supernet(space)
        supernet.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.optimizers.Adam(0.03, beta_1=0.5),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            resource=snas_keras.Resource("flops", weight=0.3),
            metrics=["accuracy"],
        )
        supernet.fit(
            batches,
            epochs=epochs,
            validation_data=valid,
            validation_batch_size=64,
            verbose=2 if is_chief else 0,
            callbacks=[
                snas_keras.TemperatureSchedule(),
                snas_keras.SearchCheckpoint(output / "search.npz", batches, 10),
            ],
        )
    if is_chief:
        genotype = supernet.derive()
        genotype.save(output / "genotype.json")
        for name, candidate in genotype.items():
            print(f"{name}: {candidate}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", default="runs/multi_worker")
    args = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        return search(pathlib.Path(args.output), args.epochs)
    restarts = training_lib.launch([sys.executable, *sys.argv], args.workers)
    print(f"{args.workers} workers, started again {restarts} times.")


if __name__ == "__main__":
    main()
