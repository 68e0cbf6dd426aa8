"""Search, derive, retrain and export on real handwritten digits.

    python examples/quickstart.py

Half a minute on two CPU cores. It writes the genotype and a SavedModel to
runs/quickstart, and a page that shows what the search decided, and why.
"""

import keras
from sklearn import datasets, model_selection

import snas_keras

keras.utils.set_random_seed(0)
images, labels = datasets.load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = model_selection.train_test_split(
    images.reshape(-1, 8, 8, 1) / 16, labels, random_state=0
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

# Three blocks, each one of five layers: 125 child networks.
space = snas_keras.SEARCH_SPACES["digits"](filters=12)
supernet = snas_keras.build_supernet(space)
limit = snas_keras.Resource("flops", limit="60%")  # of the most expensive child
supernet.compile(
    keras.optimizers.SGD(0.1, momentum=0.9),
    keras.optimizers.Adam(0.03),
    loss,
    resource=limit,
    metrics=["accuracy"],
)
supernet.fit(
    x_train,
    y_train,
    epochs=15,
    validation_split=0.2,
    callbacks=[
        snas_keras.TemperatureSchedule(),
        snas_keras.SearchLogger("runs/quickstart", costs=["flops"]),
        snas_keras.HealthGuard("runs/quickstart"),
    ],
)
genotype = supernet.derive()

child = snas_keras.build_child(space, genotype)
child.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
child.fit(x_train, y_train, epochs=15)
accuracy = child.evaluate(x_test, y_test, return_dict=True)["accuracy"]

genotype.save("runs/quickstart/genotype.json")
served = "runs/quickstart/served"
difference = snas_keras.export_saved_model(child, served, genotype)
print(f"Genotype: {dict(genotype)}")
print(f"Test accuracy of the child, trained anew: {accuracy:.3f}")
print(f"Exported to {served}; the outputs differ by {difference:.1e}")
print(f"Report: {snas_keras.search_report('runs/quickstart')}")
