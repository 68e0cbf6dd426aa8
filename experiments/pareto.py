"""Find children that trade accuracy against multiply-adds, on digits.

    python experiments/pareto.py

It takes about a minute on two CPU cores. A supernet is trained once; trials are
children with its weights. One search is told to weigh both, one to keep below a
budget; all trials together give the Pareto set, written with its figure to
runs/pareto.
"""

import argparse
import pathlib

import compare_oracles
import digits
import keras
import keras_tuner

from snas_keras import costs, objectives, tuner


def searched(supernet, train, valid, folder, cost, reward, **options):
    """Run one search; return its trials' points."""
    oracle = tuner.ArchitectureOracle(
        supernet.architecture.choices,
        keras_tuner.Objective("score", "max"),
        seed=0,
        **options,
    )
    search = tuner.SuperNetTuner(
        oracle,
        supernet,
        valid,
        train[0],
        costs={"flops": cost},
        reward=reward,
        directory=folder,
        overwrite=True,
    )
    search.search(verbose=0)
    directions = {"val_accuracy": "max", "flops": "min"}
    report = tuner.pareto_report(search.oracle, directions)
    names = {
        name: ", ".join(search.genotype(search.oracle.trials[name]).values())
        for name in report.points
    }
    return {names[name]: point for name, point in report.points.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--output", default="runs/pareto")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.output)

    keras.utils.set_random_seed(0)
    train, valid, _ = digits.load()
    supernet = compare_oracles.trained_supernet(train, arguments.epochs)
    cost = costs.ChildCost(supernet, "flops")
    weighted = objectives.weighted(
        {"val_accuracy": 1.0, "flops": -0.1}, {"flops": cost.maximum}
    )
    budget = (cost.minimum + cost.maximum) / 4
    within = objectives.constrained("val_accuracy", {"flops": budget})
    common = (supernet, train, valid)
    points = searched(
        *common,
        folder / "weighted",
        cost,
        weighted,
        max_trials=arguments.trials,
    )
    points |= searched(
        *common,
        folder / "budget",
        cost,
        within,
        max_trials=arguments.trials,
        costs={"flops": cost},
        max_cost={"flops": budget},
    )
    report = objectives.ParetoReport(
        {"val_accuracy": "max", "flops": "min"},
        points,
        {"val_accuracy": 0.0, "flops": cost.maximum},
    )
    report.save(folder / "pareto.json")
    print(f"\n{report.table()}\n\nThe figure is {folder / 'pareto.png'}.")


if __name__ == "__main__":
    main()
