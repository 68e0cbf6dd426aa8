"""Handwritten digits and a space of networks for them."""

import keras
from sklearn import datasets, model_selection

import snas_keras


@snas_keras.search_space
def digits(choose, filters=12):
    """A chain of three blocks, each one of five Keras layers."""
    x = inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(filters, 3, padding="same")(x)
    for block in ("block_0", "block_1", "block_2"):
        options = {"padding": "same", "activation": "relu"}
        x = choose(
            block,
            {
                "conv_3x3": keras.layers.Conv2D(filters, 3, **options),
                "conv_1x1": keras.layers.Conv2D(filters, 1, **options),
                "separable_5x5": keras.layers.SeparableConv2D(
                    filters, 5, **options
                ),
                "max_pool_3x3": keras.layers.MaxPooling2D(3, 1, "same"),
                "skip": keras.layers.Identity(),
            },
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, keras.layers.Dense(10)(x)


def load():
    """Return (train, validation, test), each (images, labels)."""
    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    x, x_test, y, y_test = model_selection.train_test_split(
        x, y, test_size=0.2, stratify=y, random_state=0
    )
    x, x_valid, y, y_valid = model_selection.train_test_split(
        x, y, test_size=0.25, stratify=y, random_state=0
    )
    return (x, y), (x_valid, y_valid), (x_test, y_test)


def compile_options():
    return {
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy"],
    }


def retrain(space, genotype, train, epochs):
    """Return the child trained from new weights."""
    child = snas_keras.build_child(space, genotype)
    child.compile(keras.optimizers.Adam(0.003), **compile_options())
    child.fit(*train, batch_size=32, epochs=epochs, verbose=0)
    return child


def accuracy(model, data, **options):
    """Return the accuracy of a compiled model."""
    logs = model.evaluate(*data, verbose=0, return_dict=True, **options)
    return logs["accuracy"]
