"""Train a searched or a published cell on CIFAR-10 as the SNAS paper does.

    python experiments/cifar10/retrain.py --preset small --data-dir FOLDER \
        --genotype runs/cifar10/search/genotype.json

Killed, and run again by the same command, it goes on where it was. The test
images are read once, at the end; then the network is exported as a SavedModel.
The flags' defaults are the settings of the paper's code; a preset changes some.
"""

import pathlib

import common
import data
import keras

import snas_keras
from snas_keras import costs
from snas_keras.spaces import published

PRESETS = {
    "smoke": {
        "cells": 3,
        "channels": 4,
        "epochs": 2,
        "batch": 32,
        "training": 160,
        "validation": 160,
        "checkpoint_steps": 3,
    },
    "small": {
        "cells": 4,
        "channels": 16,
        "stem_strides": 2,
        "epochs": 12,
        "batch": 64,
        "training": 12_800,
        "validation": 2_500,
        "auxiliary": 0.0,
        "drop_path": 0.0,
    },
    "paper": {},
}
NUMBERS = {
    "cells": (20, "depth of the network"),
    "channels": (36, "of the first cells' nodes"),
    "stem_strides": (1, "2 saves three quarters of the work"),
    "epochs": (600, "passes over the training images"),
    "batch": (96, "images a step"),
    "training": (None, "images to train on, default all that are left"),
    "validation": (0, "training images held out; with some, the best is kept"),
    "learning_rate": (0.025, "in the first epoch"),
    "final_learning_rate": (0.0, "what the cosine falls to"),
    "momentum": (0.9, "of the weights"),
    "weight_decay": (3e-4, "of the weights, coupled"),
    "clip": (5.0, "norm of the gradient"),
    "auxiliary": (0.4, "weight of the auxiliary classifier, 0 for none"),
    "drop_path": (0.2, "probability that is reached at the end, 0 for none"),
    "cutout": (16, "side of the square, 0 for none"),
}


def arguments():
    parser = common.parser(__doc__, PRESETS)
    parser.set_defaults(output=pathlib.Path("runs/cifar10/retrain"))
    cell = parser.add_mutually_exclusive_group(required=True)
    cell.add_argument("--genotype", help="JSON file that the search wrote")
    cell.add_argument("--cell", choices=published.GENOTYPES)
    common.add_flags(parser, NUMBERS)
    return common.parse(parser, PRESETS)


def build(args, steps_per_epoch):
    """Return the genotype and its compiled network."""
    keras.config.set_dtype_policy(args.dtype_policy)
    keras.utils.set_random_seed(args.seed)
    options = {}
    if args.cell and args.cell.startswith("darts"):
        options["candidates"] = published.DARTS_OPERATIONS
    genotype = (
        published.GENOTYPES[args.cell]
        if args.cell
        else snas_keras.Genotype.load(args.genotype)
    )
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=args.cells,
        nodes=nodes_of(genotype),
        channels=args.channels,
        stem_strides=args.stem_strides,
        affine=True,
        auxiliary=args.auxiliary > 0,
        drop_path=args.drop_path,
        **options,
    )
    child = snas_keras.build_child(space, genotype)
    rate = common.CosineByEpoch(
        args.learning_rate,
        args.final_learning_rate,
        args.epochs,
        steps_per_epoch,
    )
    optimizer = snas_keras.CoupledSGD(
        rate,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        global_clipnorm=args.clip,
    )
    child.compile(optimizer, **objectives(args))
    return genotype, child


def nodes_of(genotype):
    """Return how many nodes a cell has; a cell's inputs are 0 and 1."""
    ends = [name.rpartition("->")[2] for name in genotype]
    # Of a genotype of another space `build_child` says what is wrong.
    return max((int(end) for end in ends if end.isdigit()), default=5) - 1


def objectives(args):
    """Return loss, weights and metrics of one or two classifiers."""
    loss = common.cross_entropy()
    if not args.auxiliary:
        return {"loss": loss, "metrics": ["accuracy"]}
    return {
        "loss": {"logits": loss, "auxiliary": common.cross_entropy()},
        "loss_weights": {"logits": 1.0, "auxiliary": args.auxiliary},
        "metrics": {"logits": ["accuracy"]},
    }


def targets(args, y):
    return {"logits": y, "auxiliary": y} if args.auxiliary else y


def main():
    args = arguments()
    x, y = data.load("train", args.data_dir, args.download)
    (x, y), (x_valid, y_valid) = data.split(
        x, y, args.validation, training=args.training
    )
    batches = data.batches(
        x, targets(args, y), args.batch, seed=args.seed, cutout=args.cutout
    )
    genotype, child = build(args, len(batches))
    held_out, metric = None, None
    if args.validation:
        held_out = data.normalize(x_valid), targets(args, y_valid)
        metric = f"val_{'logits_' if args.auxiliary else ''}accuracy"
    callbacks = common.callbacks(args, batches, "retrain", metric)
    if args.drop_path:
        schedule = snas_keras.DropPathSchedule(args.drop_path)
        callbacks.insert(0, schedule)
    child.fit(
        batches,
        epochs=args.epochs,
        validation_data=held_out,
        validation_batch_size=args.batch,
        callbacks=callbacks,
    )
    x_test, y_test = data.load("test", args.data_dir)
    report(args, genotype, child, (data.normalize(x_test), y_test))


def report(args, genotype, child, test):
    """Measure on the test images, once, and export."""
    network = snas_keras.for_inference(
        child, "logits" if args.auxiliary else None
    )
    # As it is, without an optimizer that has never made a step.
    network.save(args.output / "network.keras")
    network.compile(loss=common.cross_entropy(), metrics=["accuracy"])
    found = network.evaluate(*test, verbose=0, return_dict=True)
    result = {
        "test": found,
        "parameters": int(costs.parameters(network, None)),
        "multiply_adds": int(costs.flops(network, network.input_shape)),
        "genotype": dict(genotype),
    }
    served = args.output / "served"
    snas_keras.export_saved_model(network, served, genotype)
    common.write_json(args.output / "result.json", result)
    print(
        f"\nTest accuracy {found['accuracy']:.4f}, {result['parameters']:,} "
        f"parameters, {result['multiply_adds']:,} multiply-adds.\n"
        f"The SavedModel is in {served}."
    )


if __name__ == "__main__":
    main()
