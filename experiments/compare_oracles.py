"""Let Keras Tuner search on digits: the supernet's distribution as an oracle.

    python experiments/compare_oracles.py

It takes under two minutes on two CPU cores. A supernet is trained; then a trial
is a child with its weights. Compared are the trials that each oracle needs
until it finds one of the best children; then the best are retrained.
"""

import argparse
import pathlib

import digits
import keras
import keras_tuner
import numpy as np

import snas_keras
from snas_keras import tuner

EVALUATED = {}


def trained_supernet(train, epochs):
    supernet = snas_keras.build_supernet(digits.digits(), seed=0)
    supernet.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.Adam(0.03, beta_1=0.5),
        **digits.compile_options(),
    )
    supernet.fit(
        snas_keras.AddressableBatches(*train, batch_size=32, seed=0),
        epochs=epochs,
        verbose=2,
        callbacks=[snas_keras.TemperatureSchedule("linear")],
    )
    return supernet


class CachedTuner(tuner.SuperNetTuner):
    """Evaluates each child once, whichever oracle asks for it."""

    def run_trial(self, trial, verbose=0):
        genotype = self.genotype(trial)
        if genotype not in EVALUATED:
            EVALUATED[genotype] = super().run_trial(trial, verbose)
        return EVALUATED[genotype]


def oracles(supernet, trials, seed):
    """Return {label: oracle}."""
    choices = supernet.architecture.choices
    random = keras_tuner.oracles.RandomSearchOracle(
        "val_accuracy", trials, seed=seed + 1
    )
    return {
        "from the supernet": tuner.ArchitectureOracle.from_supernet(
            supernet, "val_accuracy", trials, seed=seed
        ),
        "from nothing": tuner.ArchitectureOracle(
            choices, "val_accuracy", trials, seed=seed
        ),
        "evolution": tuner.RegularizedEvolutionOracle(
            choices, "val_accuracy", trials, seed=seed
        ),
        "random search": random,
    }


def scores(oracle, supernet, train, valid, folder):
    """Return the accuracy of every trial, in order."""
    search = CachedTuner(
        oracle, supernet, valid, train[0], directory=folder, overwrite=True
    )
    search.search(verbose=0)
    trials = search.oracle.trials.values()
    return search, [trial.score for trial in trials]


def retrained(search, space, train, test, epochs):
    """Train the best three anew; return their test accuracies."""

    def run(genotype, execution):
        keras.utils.set_random_seed(execution)
        child = digits.retrain(space, genotype, train, epochs)
        return {"accuracy": digits.accuracy(child, test)}

    return search.retrain(run, count=3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--output", default="runs/compare_oracles")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.output)

    keras.utils.set_random_seed(0)
    train, valid, test = digits.load()
    supernet = trained_supernet(train, arguments.epochs)
    found = {}
    for seed in range(arguments.seeds):
        asked = oracles(supernet, arguments.trials, seed)
        for label, oracle in asked.items():
            search, accuracies = scores(
                oracle, supernet, train, valid, folder / f"{label}_{seed}"
            )
            found.setdefault(label, []).append((search, accuracies))

    best = max(max(a) for runs in found.values() for _, a in runs)
    quality = best - 0.01
    print(f"\nTrials until a child has accuracy {quality:.3f}, one point")
    print(f"below the best of all that were tried ({len(EVALUATED)} children):")
    for label, runs in found.items():
        needed = [
            next((i for i, a in enumerate(r, 1) if a >= quality), None)
            for _, r in runs
        ]
        mean = np.mean([np.mean(r) for _, r in runs])
        shown = ", ".join("none" if n is None else str(n) for n in needed)
        print(f"  {label:<20}{shown:<16}mean accuracy of trials {mean:.3f}")

    print("\nThe best children, trained anew (test accuracy):")
    search = found["from the supernet"][0][0]
    space = digits.digits()
    for result in retrained(search, space, train, test, arguments.epochs):
        candidates = ", ".join(result["genotype"].values())
        print(f"  {result['metrics']['accuracy']:.3f}  {candidates}")


if __name__ == "__main__":
    main()
