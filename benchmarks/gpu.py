"""Measure the search on a GPU, or on what there is, in one command.

    python benchmarks/gpu.py --output gpu.json

Relaxed and single-path steps in float32 and bfloat16, with XLA and without;
then the input pipeline alone. Each is a process of its own.
"""

import itertools

import harness

OPTIONS = {
    "estimator": ("relaxed", "single_path"),
    "dtype policy": ("float32", "mixed_bfloat16"),
    "XLA": (False, True),
}
COLUMNS = {
    "estimator": lambda row: row["estimator"],
    "dtype policy": lambda row: row["dtype policy"],
    "XLA": lambda row: "on" if row["XLA"] else "off",
    "time to first step, s": lambda row: (
        f"{row['build_seconds'] + row['first_step_seconds']:.1f}"
    ),
    "steps per second": lambda row: f"{1 / row['step_seconds']:.2f}",
    "memory of the device, MB": lambda row: str(row["device_megabytes"]),
    "memory of the process, MB": lambda row: str(row["peak_megabytes"]),
}


def main():
    parser = harness.arguments(__doc__, steps=50)
    args = parser.parse_args()
    rows = []
    for values in itertools.product(*OPTIONS.values()):
        chosen = dict(zip(OPTIONS, values, strict=True))
        rows.append({**chosen, **measure(args, chosen)})
    harness.print_table(rows, COLUMNS)
    pipeline = input_pipeline(args)
    print(f"\nInput pipeline alone: {pipeline:.0f} batches per second.")
    rows.append({"name": "input pipeline", "batches_per_second": pipeline})
    harness.write(args.output, vars(args), rows)


def measure(args, chosen):
    options = [
        *harness.contestant_options(args),
        "--estimator",
        chosen["estimator"],
        "--dtype-policy",
        chosen["dtype policy"],
    ]
    if chosen["XLA"]:
        options.append("--jit-compile")
    name = ", ".join(str(value) for value in chosen.values())
    contestant = harness.Contestant(name, "search_step.py", *options)
    [row] = harness.one_by_one([contestant], args.steps)
    return row


def input_pipeline(args):
    """Return how many shuffled batches `fit` could be served a second."""
    import numpy as np

    import snas_keras

    shape = (100 * args.batch, args.image, args.image, 3)
    x = np.zeros(shape, "float32")
    y = np.zeros(len(x), "int32")
    batches = snas_keras.AddressableBatches(x, y, args.batch)
    taken, _ = harness.seconds(lambda: [batches[i] for i in range(100)])
    return 100 / taken


if __name__ == "__main__":
    main()
