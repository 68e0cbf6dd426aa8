"""Keras Tuner tries children with the weights of a trained supernet.

    python examples/tune.py

Half a minute on two CPU cores. The oracle begins with the distribution that
the supernet has learned, and proposes only what is within the budget; the best
child is then trained from new weights.
"""

import keras
from sklearn import datasets, model_selection

import snas_keras
from snas_keras import costs, tuner

keras.utils.set_random_seed(0)
images, labels = datasets.load_digits(return_X_y=True)
x, x_test, y, y_test = model_selection.train_test_split(
    images.reshape(-1, 8, 8, 1) / 16, labels, random_state=0
)
x_train, x_valid, y_train, y_valid = model_selection.train_test_split(
    x, y, random_state=0
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

space = snas_keras.SEARCH_SPACES["digits"](filters=12)
supernet = snas_keras.build_supernet(space)
supernet.compile(
    "adam", keras.optimizers.Adam(0.03), loss, metrics=["accuracy"]
)
supernet.fit(
    x_train, y_train, epochs=10, callbacks=[snas_keras.TemperatureSchedule()]
)

flops = costs.ChildCost(supernet, "flops")
oracle = tuner.ArchitectureOracle.from_supernet(
    supernet,
    "val_accuracy",
    max_trials=8,
    seed=0,
    costs={"flops": flops},
    max_cost={"flops": 0.6 * flops.maximum},
)
search = tuner.SuperNetTuner(
    oracle,
    supernet,
    (x_valid, y_valid),
    x_train,  # for the statistics of each child's batch norms
    directory="runs/tune",
    overwrite=True,
)
search.search()
genotype = oracle.best_genotype()

child = snas_keras.build_child(space, genotype)
child.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
child.fit(x, y, epochs=15)
accuracy = child.evaluate(x_test, y_test, return_dict=True)["accuracy"]
print(f"Genotype: {dict(genotype)}, {flops(genotype):,.0f} multiply-adds")
print(f"Test accuracy of the child, trained anew: {accuracy:.3f}")
