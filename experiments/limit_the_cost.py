"""Search digits under limits, and see what accuracy they leave.

    python experiments/limit_the_cost.py

Seven minutes on two CPU cores. For every limit and seed: a search, then the
child retrained from new weights. One limit is on milliseconds that are measured
on this machine first. A page about every search lies in its folder.
"""

import argparse
import json
import pathlib

import digits
import keras
import numpy as np

import snas_keras
from snas_keras import costs
from snas_keras._utils import files


def kinds(table):
    """Return {label: (cost, limit)}; the first is without a limit."""
    return {
        "none": ("flops", None),
        "60% of the multiply-adds": ("flops", "60%"),
        "30% of the multiply-adds": ("flops", "30%"),
        "30% of the parameters": ("parameters", "30%"),
        "60% of the milliseconds": (table, "60%"),
    }


def searched(cost, limit, seed, train, valid, epochs, folder):
    keras.utils.set_random_seed(seed)
    supernet = snas_keras.build_supernet(digits.digits(), seed=seed)
    resource = limit and snas_keras.Resource(cost, limit=limit)
    supernet.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.Adam(0.03, beta_1=0.5),
        resource=resource,
        **digits.compile_options(),
    )
    supernet.fit(
        snas_keras.AddressableBatches(*train, batch_size=32, seed=seed),
        epochs=epochs,
        validation_data=valid,
        verbose=0,
        callbacks=[
            snas_keras.TemperatureSchedule("linear"),
            snas_keras.SearchLogger(folder, costs=("parameters", "flops")),
            snas_keras.HealthGuard(folder),
        ],
    )
    return supernet


def measured(cost, limit, seed, splits, epochs, folder):
    """Search, retrain, and return what came out, ready for JSON."""
    train, valid, test = splits
    supernet = searched(cost, limit, seed, train, valid, epochs, folder)
    snas_keras.search_report(folder)
    child_cost = costs.ChildCost(supernet, cost)
    genotype = supernet.derive()
    keras.utils.set_random_seed(seed)
    child = digits.retrain(digits.digits(), genotype, train, epochs)
    return {
        "genotype": dict(genotype),
        "cost": child_cost(genotype),
        "limit": supernet.limits[0].value if limit else None,
        "most_expensive": child_cost.maximum,
        "share": supernet.limits[0].share if limit else 1.0,
        "test": digits.accuracy(child, test),
    }


def table_of(found):
    lines = [
        "| limit | children within, % | child's cost, % of the most "
        "expensive | limit kept | test accuracy, retrained |",
        "| --- | --- | --- | --- | --- |",
    ]
    for label, runs in found.items():
        kept = [r["limit"] is None or r["cost"] <= r["limit"] for r in runs]
        used = [100 * r["cost"] / r["most_expensive"] for r in runs]
        test = [r["test"] for r in runs]
        lines.append(
            f"| {label} | {100 * runs[0]['share']:.1f} | "
            f"{np.mean(used):.1f} ± {deviation(used):.1f} | "
            f"{sum(kept)} of {len(kept)} | "
            f"{np.mean(test):.3f} ± {deviation(test):.3f} |"
        )
    return "\n".join(lines)


def deviation(values):
    return np.std(values, ddof=1) if len(values) > 1 else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limits", nargs="+", help="default all", metavar="L")
    parser.add_argument("--output", default="runs/limits", type=pathlib.Path)
    arguments = parser.parse_args()
    splits = digits.load()
    table = costs.measure_latency(snas_keras.build_supernet(digits.digits()))
    print(table.report())
    table.save(arguments.output / "latency.json")
    known = kinds(table)
    found = {}
    for label in arguments.limits or known:
        cost, limit = known[label]
        found[label] = [
            measured(
                cost,
                limit,
                seed,
                splits,
                arguments.epochs,
                arguments.output / f"{label.replace(' ', '_')}_{seed}",
            )
            for seed in range(arguments.seeds)
        ]
        print(label, [run["test"] for run in found[label]], flush=True)
    print(f"\n{table_of(found)}")
    with files.replacing(arguments.output / "limits.json") as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
