"""Search a cell on CIFAR-10 as the SNAS paper does.

    python experiments/cifar10/search.py --preset small --data-dir FOLDER

Killed, and run again by the same command, it goes on where it was. It writes
the genotype, the history as CSV, the best and the last state, the retention
report and a page about the search. The flags' defaults are the settings of the
paper's code on one GPU; a preset changes some of them.
"""

import common
import data
import keras

import snas_keras
from snas_keras import costs

# Weights of the resource penalty in log form. The paper gives no numbers for
# its three constraints: these are this library's own; 1.5e-3 is what the
# paper's code has in its instructions.
CONSTRAINTS = {
    "none": 0.0,
    "mild": 1.5e-3,
    "moderate": 5e-3,
    "aggressive": 0.01,
}
PRESETS = {
    "smoke": {
        "cells": 3,
        "nodes": 2,
        "channels": 4,
        "stem_strides": 2,
        "epochs": 2,
        "batch": 32,
        "training": 320,
        "validation": 160,
        "checkpoint_steps": 3,
        "draws": 1,
    },
    "small": {
        "cells": 4,
        "channels": 8,
        "stem_strides": 2,
        "epochs": 8,
        "batch": 32,
        "training": 6_400,
        "validation": 2_500,
        "logits_optimizer": "adam",
        "logits_learning_rate": 0.01,
        "drop_path": 0.0,
    },
    "paper": {},
}


def arguments():
    parser = common.parser(__doc__, PRESETS)
    parser.set_defaults(output=common.pathlib.Path("runs/cifar10/search"))
    common.add_flags(parser, NUMBERS)
    parser.add_argument(
        "--estimator", choices=sorted(snas_keras.ESTIMATORS), default="relaxed"
    )
    parser.add_argument(
        "--schedule", choices=sorted(snas_keras.SCHEDULES), default="linear"
    )
    parser.add_argument(
        "--logits-optimizer", choices=("sgd", "adam"), default="sgd"
    )
    parser.add_argument("--constraint", choices=CONSTRAINTS, default="mild")
    parser.add_argument("--recompute", action="store_true", help="less memory")
    return common.parse(parser, PRESETS)


NUMBERS = {
    "cells": (8, "depth of the supernet"),
    "nodes": (4, "of each cell"),
    "channels": (16, "of the first cells' nodes"),
    "stem_strides": (1, "2 saves three quarters of the work"),
    "epochs": (150, "passes over the training images"),
    "batch": (64, "images a step"),
    "training": (None, "images to train on, default all that are left"),
    "validation": (5_000, "training images held out"),
    "temperature": (1.0, "before the first epoch"),
    "final_temperature": (0.03, "of the last epoch"),
    "learning_rate": (0.025, "of the weights, in the first epoch"),
    "final_learning_rate": (0.001, "what the cosine falls to"),
    "momentum": (0.9, "of the weights"),
    "weight_decay": (3e-4, "of the weights, coupled"),
    "clip": (5.0, "norm of the weights' gradient"),
    "logits_learning_rate": (3e-4, "of the logits"),
    "logits_clip": (10.0, "norm of the logits' gradient"),
    "drop_path": (0.3, "probability to drop an edge for an image"),
    "cutout": (0, "side of the square, 0 for none"),
    "draws": (8, "relaxed and one-hot draws of the report"),
}


def search_space(args):
    return snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=args.cells,
        nodes=args.nodes,
        channels=args.channels,
        stem_strides=args.stem_strides,
        drop_path=args.drop_path,
    )


def build(args, steps_per_epoch):
    """Return the compiled supernet."""
    keras.config.set_dtype_policy(args.dtype_policy)
    keras.utils.set_random_seed(args.seed)
    supernet = snas_keras.build_supernet(
        search_space(args),
        estimator=args.estimator,
        temperature=args.temperature,
        seed=args.seed,
        recompute=args.recompute,
    )
    rate = common.CosineByEpoch(
        args.learning_rate,
        args.final_learning_rate,
        args.epochs,
        steps_per_epoch,
    )
    supernet.compile(
        snas_keras.CoupledSGD(
            rate,
            momentum=args.momentum,
            weight_decay=args.weight_decay,
            global_clipnorm=args.clip,
        ),
        logits_optimizer(args),
        common.cross_entropy(),
        resource=resource(args),
        metrics=["accuracy"],
    )
    return supernet


def logits_optimizer(args):
    options = {"global_clipnorm": args.logits_clip}
    if args.logits_optimizer == "adam":
        return keras.optimizers.Adam(
            args.logits_learning_rate, beta_1=0.5, **options
        )
    return keras.optimizers.SGD(args.logits_learning_rate, **options)


def resource(args):
    weight = CONSTRAINTS[args.constraint]
    if not weight:
        return None
    return [
        snas_keras.Resource(cost, weight / 3, form="log", gradient="pathwise")
        for cost in ("parameters", "flops", "memory_access")
    ]


def main():
    args = arguments()
    x, y = data.load("train", args.data_dir, args.download)
    train, (x_valid, y_valid) = data.split(
        x, y, args.validation, training=args.training
    )
    valid = data.normalize(x_valid), y_valid
    batches = data.batches(
        *train, args.batch, seed=args.seed, cutout=args.cutout
    )
    supernet = build(args, len(batches))
    schedule = snas_keras.SCHEDULES[args.schedule](
        args.temperature, args.final_temperature
    )
    supernet.fit(
        batches,
        epochs=args.epochs,
        validation_data=valid,
        validation_batch_size=args.batch,
        callbacks=[
            snas_keras.TemperatureSchedule(schedule),
            snas_keras.SearchLogger(
                args.output, costs=("parameters", "flops"), tensorboard=False
            ),
            snas_keras.HealthGuard(args.output),
            *common.callbacks(args, batches, "search"),
        ],
    )
    report(args, supernet, train, valid)


def report(args, supernet, train, valid):
    """Write and print the genotype and what its child keeps."""
    genotype = supernet.derive()
    genotype.save(args.output / "genotype.json")
    common.write_json(args.output / "options.json", vars_of(args))
    retention = snas_keras.retention_report(
        supernet,
        valid,
        data.batches(*train, args.batch, seed=args.seed),
        draws=args.draws,
        children=args.draws,
        recalibration_steps=50,
        seed=args.seed,
    )
    retention.save(args.output / "retention.json")
    page = snas_keras.search_report(args.output)
    print(f"\n{retention.table()}\n")
    for name, candidate in genotype.items():
        probability = max(supernet.architecture.probabilities()[name].numpy())
        print(f"{name}: {candidate} (probability {probability:.2f})")
    parameters = costs.ChildCost(supernet, "parameters")(genotype)
    print(
        f"\nThe child has {parameters:,.0f} parameters. See {page}. Go on "
        "with\n"
        f"  python experiments/cifar10/retrain.py --preset {args.preset} "
        f"--genotype {args.output / 'genotype.json'}"
    )


def vars_of(args):
    return {key: str(value) for key, value in vars(args).items()}


if __name__ == "__main__":
    main()
