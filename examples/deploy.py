"""A child that is fast enough for a machine, as a LiteRT file for it.

    python examples/deploy.py

Half a minute on two CPU cores. The layers are timed here; the search keeps the
child within 60 % of the milliseconds that the slowest child takes. To search
here for another machine, run `measure_latency` there, and load the table here
with `snas_keras.LatencyTable.load("latency.json", elsewhere=True)`.
"""

import pathlib

import keras
from sklearn import datasets, model_selection

import snas_keras

keras.utils.set_random_seed(0)
images, labels = datasets.load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = model_selection.train_test_split(
    images.reshape(-1, 8, 8, 1) / 16, labels, random_state=0
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
folder = pathlib.Path("runs/deploy")

space = snas_keras.SEARCH_SPACES["digits"](filters=12)
supernet = snas_keras.build_supernet(space)
table = snas_keras.measure_latency(supernet, repeats=10, held_out=4)
table.save(folder / "latency.json")
limit = snas_keras.Resource(table, limit="60%")
supernet.compile("adam", keras.optimizers.Adam(0.03), loss, resource=limit)
supernet.fit(
    x_train, y_train, epochs=15, callbacks=[snas_keras.TemperatureSchedule()]
)

# A wider network of the chosen layers, trained from new weights.
genotype = supernet.derive()
wider = snas_keras.SEARCH_SPACES["digits"](filters=24)
child = snas_keras.build_child(wider, genotype)
child.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
child.fit(x_train, y_train, epochs=15)
accuracy = child.evaluate(x_test, y_test, return_dict=True)["accuracy"]

network = snas_keras.for_inference(child)  # without what only trains
file = folder / "digits.tflite"
difference = snas_keras.export_litert(network, file)
print(f"Genotype: {dict(genotype)}")
print(f"Test accuracy of the child, trained anew: {accuracy:.3f}")
print(f"{file}: {file.stat().st_size:,} bytes, outputs within {difference:.1e}")
