"""Search, derive, convert, retrain and export on real handwritten digits.

    python experiments/digits.py

It takes about a minute on two CPU cores and writes the genotype, a SavedModel
and a page about the search to runs/digits. Every number it prints was
measured in the run.
"""

import argparse
import pathlib

import keras
from sklearn import datasets, model_selection

import snas_keras
from snas_keras import costs

CHANCE = 0.1


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


def search(space, train, valid, epochs, path):
    """Return the searched supernet; killed and run again, it goes on."""
    supernet = snas_keras.build_supernet(space, seed=0)
    supernet.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.Adam(0.03, beta_1=0.5),
        resource=snas_keras.Resource("flops", weight=0.3),
        **compile_options(),
    )
    batches = snas_keras.AddressableBatches(*train, batch_size=32, seed=0)
    supernet.fit(
        batches,
        epochs=epochs,
        validation_data=valid,
        callbacks=[
            snas_keras.TemperatureSchedule("linear"),
            snas_keras.SearchLogger(path, costs=("parameters", "flops")),
            snas_keras.HealthGuard(path),
            snas_keras.SearchCheckpoint(path / "search.npz", batches),
        ],
    )
    return supernet


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


def child_accuracies(supernet, space, train, valid):
    """Return the validation accuracies of children with inherited weights."""
    child = snas_keras.convert(supernet)
    random = snas_keras.convert(supernet, space.random_genotype(seed=1))
    for model in (child, random):
        model.compile(**compile_options())
    before = accuracy(child, valid)
    for model in (child, random):
        snas_keras.recalibrate_batch_norm(model, train[0])
    return before, accuracy(child, valid), accuracy(random, valid)


def print_costs(supernet, genotype):
    parameters, flops = (
        costs.ChildCost(supernet, cost) for cost in ("parameters", "flops")
    )
    rows = {
        "child": (parameters(genotype), flops(genotype)),
        "most expensive child": (parameters.maximum, flops.maximum),
    }
    print(f"\n{'':<34}{'parameters':>12}{'multiply-adds':>15}")
    for label, (number, multiply_adds) in rows.items():
        print(f"{label:<34}{number:>12,.0f}{multiply_adds:>15,.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a few epochs")
    parser.add_argument("--output", default="runs/digits")
    arguments = parser.parse_args()
    path = pathlib.Path(arguments.output)
    epochs = 6 if arguments.fast else 30

    keras.utils.set_random_seed(0)
    train, valid, test = load()
    space = digits()
    print(f"{space}: {space.size()} child networks")
    supernet = search(space, train, valid, epochs, path)

    genotype = supernet.derive()
    print("\nGenotype")
    for name, candidate in genotype.items():
        probability = max(supernet.architecture.probabilities()[name].numpy())
        print(f"  {name}: {candidate} (probability {probability:.2f})")

    sampled = accuracy(supernet, valid, weights="sample")
    before, after, random = child_accuracies(supernet, space, train, valid)
    retrained = retrain(space, genotype, train, epochs)
    rows = {
        "validation, supernet, sampled": sampled,
        "validation, child, as converted": before,
        "validation, child, recalibrated": after,
        "validation, a random child": random,
        "test, child retrained from scratch": accuracy(retrained, test),
    }
    print(f"\n{'':<36}accuracy")
    for label, value in rows.items():
        print(f"{label:<36}{value:8.3f}")
    print_costs(supernet, genotype)

    genotype.save(path / "genotype.json")
    difference = snas_keras.export_saved_model(
        retrained, path / "saved_model", genotype
    )
    print(
        f"\nSaved {path}/genotype.json and {path}/saved_model; the loaded "
        f"model's outputs differ by {difference:.1e}."
    )
    page = snas_keras.search_report(path)
    print(f"What the search decided, and why: {page}")
    if min(after, accuracy(retrained, test)) < 3 * CHANCE:
        raise SystemExit("The child did not learn: accuracy near chance.")


if __name__ == "__main__":
    main()
