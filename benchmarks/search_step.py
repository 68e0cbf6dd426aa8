"""Time and memory of a search step of the paper's supernet.

    python benchmarks/search_step.py --cells 8 --batch 64 --output step.json

Prints one line and, on request, writes it as JSON with versions and machine.
The step is what `fit` runs: draw, forward, backward, clipping, both optimizers.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

import snas_keras


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--image", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument(
        "--estimator", choices=sorted(snas_keras.ESTIMATORS), default="relaxed"
    )
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--jit-compile", action="store_true")
    parser.add_argument("--dtype-policy", default="float32")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    return parser.parse_args()


def build(args):
    keras.config.set_dtype_policy(args.dtype_policy)
    keras.utils.set_random_seed(0)
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=args.cells,
        channels=args.channels,
        input_shape=(args.image, args.image, 3),
    )
    supernet = snas_keras.build_supernet(
        space, estimator=args.estimator, recompute=args.recompute
    )
    supernet.compile(
        snas_keras.CoupledSGD(weight_decay=3e-4, global_clipnorm=5.0),
        keras.optimizers.Adam(3e-4, beta_1=0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=args.jit_compile,
    )
    return supernet


def one_batch(args):
    x = tf.random.stateless_normal(
        (args.batch, args.image, args.image, 3), seed=(0, 0)
    )
    y = tf.random.stateless_uniform(
        (args.batch,), seed=(0, 1), maxval=10, dtype=tf.int32
    )
    return iter(tf.data.Dataset.from_tensors((x, y)).repeat())


def seconds(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(args):
    build_seconds, supernet = seconds(lambda: build(args))
    supernet.make_train_function()
    batches = one_batch(args)

    def step():
        return float(supernet.train_function(batches)["loss"])

    first, _ = seconds(step)
    steps = [seconds(step)[0] for _ in range(args.steps)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "build_seconds": build_seconds,
        "first_step_seconds": first,
        "step_seconds": statistics.median(steps),
        "all_steps_seconds": steps,
        "peak_megabytes": peak // 1024,
        "parameters": sum(
            v.value.shape.num_elements()
            for v in supernet.network.trainable_variables
        ),
    }


def machine():
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "snas_keras": snas_keras.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "gpus": [d.name for d in tf.config.list_physical_devices("GPU")],
    }


def main():
    args = arguments()
    result = measure(args)
    print(
        f"{args.cells} cells, batch {args.batch}, {args.estimator}: build "
        f"{result['build_seconds']:.1f} s, first step "
        f"{result['first_step_seconds']:.1f} s, step "
        f"{result['step_seconds']:.3f} s, peak {result['peak_megabytes']} MB"
    )
    if args.output:
        options = {**vars(args), "output": str(args.output)}
        report = {"options": options, **result, "machine": machine()}
        args.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
