"""Compare a search step with the same step in eager PyTorch, side by side.

    python benchmarks/against_pytorch.py --pytorch PYTHON --batch 64

PYTHON is the interpreter of an environment that has PyTorch. Both supernets
must have the same parameters, moving statistics and logits, or this refuses.
"""

import harness

SAME = ("parameters", "moving_statistics", "logits")


def main():
    parser = harness.arguments(__doc__)
    parser.add_argument("--pytorch", required=True, help="an interpreter")
    parser.add_argument("--recompute", action="store_true", help="one row more")
    args = parser.parse_args()
    rows = harness.side_by_side(contestants(args), args.steps)
    harness.check_same(rows, SAME)
    harness.print_table(rows, harness.STEP_COLUMNS)
    harness.write(args.output, vars(args), rows)


def contestants(args):
    options = harness.contestant_options(args)
    found = [
        harness.Contestant("snas_keras", "search_step.py", *options),
        harness.Contestant(
            "PyTorch, eager", "pytorch_step.py", *options, python=args.pytorch
        ),
    ]
    if args.recompute:
        found.append(
            harness.Contestant(
                "snas_keras, recompute",
                "search_step.py",
                "--recompute",
                *options,
            )
        )
    return found


if __name__ == "__main__":
    main()
