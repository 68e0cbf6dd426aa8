"""The search that the golden files are of: small, with every layer of ours."""

import keras
import numpy as np

import snas_keras

EPOCHS = 2
BATCH_SIZE = 8


@snas_keras.search_space
def golden(choose, filters=4):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(filters, 3, padding="same")(inputs)
    for name, strides in (("normal", 1), ("reduce", 2)):
        x = snas_keras.cell(
            choose, name, x, x, filters, strides, nodes=1, drop_path=0.1
        )
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, keras.layers.Dense(3)(x)


def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 8, 8, 3)).astype("float32")
    return x, generator.integers(3, size=16)


def compiled_supernet():
    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(golden())
    supernet.compile(
        snas_keras.CoupledSGD(0.02),
        keras.optimizers.Adam(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        resource=[
            snas_keras.Resource("parameters", limit="60%"),
            snas_keras.Resource("flops", weight=0.1),
        ],
    )
    return supernet


def fit(supernet, folder, epochs):
    x, y = data()
    batches = snas_keras.AddressableBatches(x, y, BATCH_SIZE, seed=1)
    return supernet.fit(
        batches,
        epochs=epochs,
        verbose=0,
        callbacks=[
            snas_keras.TemperatureSchedule(),
            snas_keras.SearchLogger(folder, tensorboard=False),
            snas_keras.SearchCheckpoint(folder / "checkpoint.npz", batches),
        ],
    )
