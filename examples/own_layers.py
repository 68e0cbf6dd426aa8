"""Your own layer, model and data: search under a limit, fine-tune, export.

    python examples/own_layers.py

A network for tables of numbers; a quarter of a minute on two CPU cores.
"""

import keras
from sklearn import datasets

import snas_keras


class Swish(keras.layers.Layer):
    def build(self, inputs_shape):
        self.slopes = self.add_weight((inputs_shape[-1],), "ones")

    def call(self, inputs):
        return inputs * keras.ops.sigmoid(self.slopes * inputs)


@snas_keras.search_space
def network(choose):
    h = inputs = keras.Input((64,))
    for name in ("first", "second", "third"):
        dense = keras.layers.Dense(64, "relu")
        h = choose(name, {"dense": dense, "swish": Swish()})(h)
    return inputs, keras.layers.Dense(10, "softmax")(h)


x, y = datasets.load_digits(return_X_y=True)
loss = "sparse_categorical_crossentropy"
supernet = snas_keras.build_supernet(network())
limit = snas_keras.Resource("parameters", limit="50%")
supernet.compile("adam", keras.optimizers.Adam(0.02), loss, resource=limit)
supernet.fit(x / 16, y, epochs=20)
child = snas_keras.convert(supernet)
child.compile("adam", loss, metrics=["accuracy"])
child.fit(x / 16, y, epochs=5, validation_split=0.2)
snas_keras.export_saved_model(child, "runs/own_layers", supernet.derive())
