"""Compare the ways to take a search step, side by side.

    python benchmarks/variants.py --cells 3 --variants relaxed single_path

The first variant is the one that the ratios refer to.
"""

import harness

VARIANTS = {
    "relaxed": [],
    "straight_through": ["--estimator", "straight_through"],
    "softmax": ["--estimator", "softmax"],
    "single_path": ["--estimator", "single_path"],
    "recompute": ["--recompute"],
    "mixed_bfloat16": ["--dtype-policy", "mixed_bfloat16"],
    "XLA": ["--jit-compile"],
}
COLUMNS = {
    **harness.STEP_COLUMNS,
    "build, s": lambda row: f"{row['build_seconds']:.1f}",
    "first step, s": lambda row: f"{row['first_step_seconds']:.1f}",
}


def main():
    parser = harness.arguments(__doc__, steps=15, cells=3)
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS)
    )
    args = parser.parse_args()
    options = harness.contestant_options(args)
    contestants = [
        harness.Contestant(name, "search_step.py", *options, *VARIANTS[name])
        for name in args.variants
    ]
    rows = harness.side_by_side(contestants, args.steps)
    harness.print_table(rows, COLUMNS)
    harness.write(args.output, vars(args), rows)


if __name__ == "__main__":
    main()
