"""Your own layer as a candidate: search under a limit, fine-tune, export.

    python examples/own_layers.py

A network for tables of numbers with at most half of the parameters that the
largest child has; a quarter of a minute on two CPU cores.
"""

import keras
from sklearn import datasets, model_selection

import snas_keras


class Swish(keras.layers.Layer):
    """x * sigmoid(slope * x), with one learned slope a feature."""

    def build(self, input_shape):
        self.slope = self.add_weight(shape=input_shape[-1:], initializer="ones")

    def call(self, inputs):
        return inputs * keras.ops.sigmoid(self.slope * inputs)


@snas_keras.search_space
def network(choose):
    x = inputs = keras.Input((64,))
    for name in ("first", "second", "third"):
        candidates = {
            "dense": keras.layers.Dense(64, activation="relu"),
            "swish": Swish(),
        }
        x = choose(name, candidates)(x)
    return inputs, keras.layers.Dense(10)(x)


keras.utils.set_random_seed(0)
features, labels = datasets.load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = model_selection.train_test_split(
    features / 16, labels, random_state=0
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

supernet = snas_keras.build_supernet(network())
limit = snas_keras.Resource("parameters", limit="50%")
supernet.compile("adam", keras.optimizers.Adam(0.02), loss, resource=limit)
supernet.fit(
    x_train, y_train, epochs=20, callbacks=[snas_keras.TemperatureSchedule()]
)

child = snas_keras.convert(supernet)  # with the weights of the search
child.compile("adam", loss, metrics=["accuracy"])
child.fit(x_train, y_train, epochs=5)
accuracy = child.evaluate(x_test, y_test, return_dict=True)["accuracy"]
genotype = supernet.derive()
snas_keras.export_saved_model(child, "runs/own_layers", genotype)
print(f"Genotype: {dict(genotype)}")
print(f"Test accuracy of the child: {accuracy:.3f}")
