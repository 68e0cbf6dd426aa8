"""Compare SNAS with attention-based and random search on CIFAR-10.

    python experiments/cifar10/compare.py --data-dir FOLDER

Every method gets the same images, space, steps and seeds. A run is a process
of its own and leaves a JSON file; runs that have one are not repeated, so a
killed comparison goes on. At the end stand two tables and a bar chart.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from concurrent import futures

import common
import data
import keras
import numpy as np
import tensorflow as tf

import snas_keras
from snas_keras import costs, reports
from snas_keras._utils import files

METHODS = {
    "snas": "SNAS",
    "attention": "attention, single-level",
    "bilevel": "attention, bi-level",
    "random": "random search",
}
KEPT = {
    "search, as drawn": "supernet in search",
    "child, as it is": "child as it is",
    "child, batch norm recalibrated": "child, recalibrated",
    "random children of equal cost": "random children",
}
RULED = "child by DARTS' rule, recalibrated"
RULES = {"mode": "", "darts": ", DARTS' rule", "best": ""}
PRESETS = {
    "smoke": {
        "channels": 4,
        "cells": 3,
        "nodes": 2,
        "epochs": 2,
        "batch": 16,
        "training": 64,
        "validation": 32,
        "retrain_epochs": 1,
        "seeds": 2,
        "children": 2,
        "draws": 2,
        "recalibration_steps": 2,
    },
    "small": {},
}


def arguments():
    parser = common.parser(__doc__, PRESETS)
    parser.set_defaults(output=pathlib.Path("runs/cifar10/compare"))
    common.add_flags(parser, NUMBERS)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    return common.parse(parser, PRESETS)


NUMBERS = {
    "seeds": (3, "runs of each method"),
    "cells": (4, "depth"),
    "nodes": (4, "intermediate nodes of a cell"),
    "channels": (8, "of the first cell's nodes"),
    "stem_strides": (2, "2 saves three quarters of the work"),
    "batch": (32, "images a step"),
    "training": (6_400, "images that the search trains on"),
    "validation": (2_500, "training images held out"),
    "epochs": (8, "of the search"),
    "retrain_epochs": (8, "of the chosen child, afresh"),
    "children": (4, "random children: of the search, and of the report"),
    "draws": (8, "relaxed and one-hot draws of the report"),
    "recalibration_steps": (50, "batches for the child's batch norms"),
    "jobs": (1, "runs at a time, which share the processors"),
    "learning_rate": (0.025, "of the weights, in the first epoch"),
    "logits_learning_rate": (0.01, "of the logits, Adam"),
    "final_temperature": (0.03, "of SNAS, from 1"),
}


def main():
    args = arguments()
    if args.run:
        method, seed = args.run
        run(args, method, int(seed))
        return
    pending = [
        (method, seed)
        for seed in range(args.seed, args.seed + args.seeds)
        for method in METHODS
        if not path_of(args, method, seed).exists()
    ]
    run_all(args, pending)
    report(args)


def path_of(args, method, seed):
    return args.output / f"{method}_{seed}.json"


def run_all(args, pending):
    """Run every pair of method and seed in its own process, `jobs` at once."""

    def start(method, seed):
        print(f"{METHODS[method]}, seed {seed}", flush=True)
        command = [sys.executable, *sys.argv, "--run", method, str(seed)]
        subprocess.run(command, check=True)

    with futures.ThreadPoolExecutor(args.jobs) as executor:
        for done in [executor.submit(start, *pair) for pair in pending]:
            done.result()


def run(args, method, seed):
    """Search by one method, retrain what it chose, write what came out."""
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    x, y = data.load("train", args.data_dir, args.download)
    x_test, y_test = data.load("test", args.data_dir)
    train, (x_valid, y_valid) = data.split(
        x, y, args.validation, training=args.training
    )
    valid = data.normalize(x_valid), y_valid
    keras.utils.set_random_seed(seed)
    search = random_search if method == "random" else gradient_search
    genotypes, found = search(args, method, seed, train, valid)
    found.update(method=method, seed=seed, children={})
    for rule, genotype in genotypes.items():
        keras.utils.set_random_seed(seed)
        child = trained_child(args, genotype, seed, train, args.retrain_epochs)
        found["children"][rule] = {
            "genotype": dict(genotype),
            "validation": accuracy(child, valid),
            "test": accuracy(child, (data.normalize(x_test), y_test)),
            "parameters": int(child.count_params()),
        }
    common.write_json(path_of(args, method, seed), found)


def search_space(args):
    return snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=args.cells,
        nodes=args.nodes,
        channels=args.channels,
        stem_strides=args.stem_strides,
    )


def optimizer(args, epochs, steps_per_epoch, final=0.001):
    return snas_keras.CoupledSGD(
        common.CosineByEpoch(
            args.learning_rate, final, epochs, steps_per_epoch
        ),
        momentum=0.9,
        weight_decay=3e-4,
        global_clipnorm=5.0,
    )


def gradient_search(args, method, seed, train, valid):
    """Train a supernet; return its genotypes and what was measured."""
    supernet = snas_keras.build_supernet(
        search_space(args),
        estimator="relaxed" if method == "snas" else "softmax",
        seed=seed,
    )
    batches, epochs = data.batches(*train, args.batch, seed=seed), args.epochs
    served = batches
    if method == "bilevel":
        supernet = BiLevelSuperNet(supernet.network, supernet.architecture)
        # Each half has half of the batches, so twice the epochs.
        served, epochs = PairedBatches(*train, args.batch, seed), 2 * epochs
    supernet.compile(
        optimizer(args, epochs, len(served)),
        keras.optimizers.Adam(args.logits_learning_rate, beta_1=0.5),
        common.cross_entropy(),
        metrics=["accuracy"],
    )
    callbacks = [
        snas_keras.SearchCheckpoint(
            args.output / f"{method}_{seed}.npz", served, args.checkpoint_steps
        )
    ]
    if method == "snas":
        schedule = annealing(args.final_temperature)
        callbacks.insert(0, snas_keras.TemperatureSchedule(schedule))
    history = supernet.fit(
        served, epochs=epochs, callbacks=callbacks, verbose=2
    )
    genotypes = {"mode": supernet.derive()}
    found = reports.retention_report(
        supernet,
        valid,
        batches,
        draws=args.draws,
        children=args.children,
        recalibration_steps=args.recalibration_steps,
        seed=seed,
    )
    print(found.table(), flush=True)
    values = dict(found.values)
    if method != "snas":
        genotypes["darts"] = supernet.derive(method="darts")
        ruled = snas_keras.convert(supernet, genotypes["darts"])
        snas_keras.recalibrate_batch_norm(
            ruled, batches, args.recalibration_steps
        )
        values[RULED] = [accuracy(ruled, valid)]
    passes = 2 if method == "bilevel" else 1
    steps = epochs * len(served)
    return genotypes, {
        "values": values,
        "costs": found.costs,
        "entropy": mean_entropy(supernet.architecture),
        "temperature": float(supernet.architecture.temperature),
        "history": history.history["loss"],
        "steps": steps,
        "multiply_adds": passes * steps * args.batch * forward_cost(supernet),
    }


def annealing(final):
    """Lower the temperature by epoch from 1; the last epoch has `final`."""

    def schedule(epoch, epochs):
        return 1.0 + (final - 1.0) * epoch / max(epochs - 1, 1)

    return schedule


class BiLevelSuperNet(snas_keras.SuperNet):
    """Learns the weights on the first half of a batch, the logits on the other.

    DARTS of first order; both gradients are taken at the same point, where the
    original takes the logits' step before that of the weights.

    Reference:
        Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019,
        https://arxiv.org/abs/1806.09055.
    """

    def compute_gradients(self, x, y, sample_weight=None):
        del sample_weight
        halves = zip(tf.split(x, 2), tf.split(y, 2), strict=True)
        (by_weights, first), (by_logits, second) = [
            super(BiLevelSuperNet, self).compute_gradients(*half)
            for half in halves
        ]
        logits = {id(v) for v in self.architecture.trainable_variables}
        gradients = [
            of_logits if id(variable) in logits else of_weights
            for variable, of_weights, of_logits in zip(
                self.trainable_variables, by_weights, by_logits, strict=True
            )
        ]
        return gradients, tf.concat([first, second], 0)


class PairedBatches(snas_keras.AddressableBatches):
    """Batches whose halves come from the two halves of the images."""

    def __init__(self, x, y, batch_size, seed):
        half = len(x) // 2
        pairs = [np.stack([a[:half], a[half : 2 * half]], 1) for a in (x, y)]
        super().__init__(*pairs, batch_size, seed=seed)

    def batch(self, epoch, index):
        x, y = super().batch(epoch, index)
        generator = np.random.default_rng([self.seed, epoch, index])
        augment = data.augmentation()
        x = np.concatenate([augment(x[:, i], generator) for i in range(2)])
        return x, np.concatenate([y[:, i] for i in range(2)])


def random_search(args, method, seed, train, valid):
    """Train random children with the steps of one search; return the best."""
    del method
    space = search_space(args)
    epochs = args.epochs // args.children
    steps = epochs * (len(train[0]) // args.batch)
    tried = {}
    cost = 0
    for index in range(args.children):
        genotype = space.random_genotype(seed * args.children + index)
        child = trained_child(args, genotype, seed, train, epochs)
        tried[genotype] = accuracy(child, valid)
        cost += steps * args.batch * costs.flops(child, child.input_shape)
    best = max(tried, key=tried.get)
    return {"best": best}, {
        "values": {"tried": list(tried.values())},
        "steps": args.children * steps,
        "multiply_adds": cost,
    }


def trained_child(args, genotype, seed, train, epochs):
    """Train the network of a genotype afresh."""
    child = snas_keras.build_child(search_space(args), genotype, affine=True)
    batches = data.batches(*train, args.batch, seed=seed)
    child.compile(
        optimizer(args, epochs, len(batches), final=0.0),
        common.cross_entropy(),
        metrics=["accuracy"],
    )
    child.fit(batches, epochs=epochs, verbose=2)
    return child


def accuracy(model, examples):
    x, y = examples
    logits = model.predict(x, batch_size=100, verbose=0)
    return float(np.mean(np.argmax(logits, axis=-1) == y))


def mean_entropy(architecture):
    return float(np.mean(list(architecture.entropy().values())))


def forward_cost(supernet):
    """Count the multiply-adds of one image in a forward pass, all edges."""
    table = costs.cost_table(supernet.network, "flops")
    fixed = costs.ChildCost(supernet, "flops").fixed
    return float(fixed + sum(np.sum(rows) for rows in table.values()))


def report(args):
    """Write the tables and the figure of all runs that there are."""
    runs = {
        method: [
            json.loads(path.read_text())
            for path in sorted(args.output.glob(f"{method}_*.json"))
        ]
        for method in METHODS
    }
    text = "\n\n".join((kept_table(runs), test_table(runs)))
    print(f"\n{text}")
    with files.replacing(args.output / "compare.md") as temporary:
        temporary.write_text(text + "\n")
    common.write_json(args.output / "compare.json", runs)
    draw(args.output / "compare.png", runs)


def kept_table(runs):
    """Tabulate what the children keep of the search."""
    rows = [*KEPT, RULED]
    lines = [
        "| validation accuracy, % | "
        + " | ".join(METHODS[m] for m in runs if m != "random")
        + " |",
        "|" + " --- |" * len(runs),
    ]
    searched = [found for m, found in runs.items() if m != "random"]
    for row in rows:
        cells = [
            spread([100 * np.mean(r["values"][row]) for r in found])
            if all(row in r["values"] for r in found)
            else ""
            for found in searched
        ]
        lines.append(f"| {KEPT.get(row, row)} | " + " | ".join(cells) + " |")
    entropies = [spread([r["entropy"] for r in found]) for found in searched]
    lines.append(
        "| entropy of a choice, nats | " + " | ".join(entropies) + " |"
    )
    return "\n".join(lines)


def test_table(runs):
    """Tabulate the retrained children on the test set, and the budgets."""
    lines = [
        "| method | seeds | test accuracy of the retrained child, % | its "
        "parameters | search steps | multiply-adds of the search |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for method, found in runs.items():
        budget = np.mean([run["multiply_adds"] for run in found])
        for rule in found[0]["children"]:
            children = [run["children"][rule] for run in found]
            test = spread([100 * child["test"] for child in children])
            size = spread([child["parameters"] for child in children], 0)
            lines.append(
                f"| {METHODS[method]}{RULES[rule]} | {len(found)} | {test} | "
                f"{size} | {found[0]['steps']} | {budget:.2g} |"
            )
    return "\n".join(lines)


def spread(values, digits=1):
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):,.{digits}f} ± {deviation:,.{digits}f}"


def draw(path, runs):
    """Draw what each method's child keeps, one bar for each row."""
    from matplotlib import figure

    made = figure.Figure(figsize=(8, 4), layout="constrained")
    axes = made.subplots()
    searched = [method for method in runs if method != "random"]
    colors = ("#0072B2", "#E69F00", "#009E73", "#999999")
    width = 0.8 / len(KEPT)
    for index, (row, label) in enumerate(KEPT.items()):
        values = [
            [100 * np.mean(run["values"][row]) for run in runs[method]]
            for method in searched
        ]
        axes.bar(
            np.arange(len(searched)) + (index - 1.5) * width,
            [np.mean(v) for v in values],
            width,
            yerr=[np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values],
            capsize=3,
            color=colors[index],
            label=label,
        )
    axes.set_xticks(range(len(searched)), [METHODS[m] for m in searched])
    axes.set_ylabel("validation accuracy, %")
    axes.axhline(10, color="black", linewidth=0.8, linestyle=":")
    axes.set_title("Mean over seeds; lines: one deviation; dotted: chance")
    made.legend(loc="outside lower center", ncols=len(KEPT))
    with files.replacing(path) as temporary:
        made.savefig(temporary, dpi=120)


if __name__ == "__main__":
    main()
