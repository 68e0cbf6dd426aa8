"""Compare a search step with the bare sum of its candidates.

    python benchmarks/bare_candidates.py --batch 64

Every candidate of every edge is run alone, forward and backward, by the same
kernels; nothing is drawn, mixed, clipped or updated. Candidates alike are timed
once a round and counted as often as the supernet has them.
"""

import collections

import harness
import search_step
import tensorflow as tf

from snas_keras import layers
from snas_keras._utils import fingerprint


def groups(network):
    """Return [layer, input shape, count] of every kind of candidate."""
    found = collections.defaultdict(lambda: [None, None, 0])
    for edge in layers.mixed_edges(network):
        shape = edge.candidate_input_shape
        for layer in edge.candidates.values():
            group = found[fingerprint.layer_key(layer, shape)]
            group[:2] = layer, shape
            group[2] += 1
    return list(found.values())


def timed_candidate(layer, shape, batch):
    """Return a function of no arguments: seconds, forward and backward."""
    x = tf.random.stateless_normal((batch, *shape[1:]), seed=(0, 0))
    slope = tf.ones((batch, *layer.compute_output_shape(shape)[1:]))
    variables = [v.value for v in layer.trainable_variables]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(
            y,
            [x, *variables],
            output_gradients=slope,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    def run():
        return [gradient.numpy() for gradient in step()]

    run()
    return harness.timed(run)


def serve(args):
    supernet = search_step.build(args)
    timed = [
        (timed_candidate(layer, shape, args.batch), count)
        for layer, shape, count in groups(supernet.network)
    ]

    def timed_sum():
        return sum(count * candidate() for candidate, count in timed)

    facts = {"kinds": len(timed), "candidates": sum(c for _, c in timed)}
    harness.serve(timed_sum, facts)


def main():
    args = search_step.arguments(__doc__)
    if args.serve:
        return serve(args)
    options = harness.contestant_options(args)
    rows = harness.side_by_side(
        [
            harness.Contestant(
                "bare candidates", "bare_candidates.py", *options
            ),
            harness.Contestant("search step", "search_step.py", *options),
        ],
        args.steps,
    )
    harness.print_table(rows, harness.STEP_COLUMNS)
    harness.write(args.output, vars(args), rows)


if __name__ == "__main__":
    main()
