"""Compare a child with the same network written by hand, side by side.

    python benchmarks/child_step.py --cells 8 --batch 64

Both are plain Keras models under the same optimizer. The genotype is drawn
among the paper's candidates but `none`. Parameters and operations of the graph
must be equal, or this refuses. Without `--predict` a training step is timed.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import random

import harness
import keras
import search_step
import tensorflow as tf

import snas_keras
from snas_keras.spaces import _cell

KL = keras.layers
EDGES = [(source, node) for node in range(2, 6) for source in range(node)]
OPERATIONS = _cell.CELL_OPERATIONS[1:]


def drawn_genotype():
    draw = random.Random(0).choice
    return {
        f"{cell}_{source}->{node}": draw(OPERATIONS)
        for cell in ("normal", "reduce")
        for source, node in EDGES
    }


def by_hand(genotype, cells, channels, image):
    x = inputs = keras.Input((image, image, 3))
    x = KL.Conv2D(3 * channels, 3, padding="same", use_bias=False)(x)
    before = previous = norm(x)
    halve_before = False
    for index in range(cells):
        is_reduction = index in (cells // 3, 2 * cells // 3)
        channels *= 2 if is_reduction else 1
        name = "reduce" if is_reduction else "normal"
        states = [
            (factorized_reduce if halve_before else pointwise)(
                before, channels
            ),
            pointwise(previous, channels),
        ]
        for node in range(2, 6):
            terms = []
            for source in range(node):
                strides = 2 if is_reduction and source < 2 else 1
                operation = genotype[f"{name}_{source}->{node}"]
                terms.append(
                    BY_HAND[operation](states[source], channels, strides)
                )
            states.append(KL.Add()(terms))
        before, previous = previous, KL.Concatenate()(states[2:])
        halve_before = is_reduction
    x = KL.GlobalAveragePooling2D()(previous)
    return keras.Model(inputs, KL.Dense(10)(x))


def norm(x):
    return KL.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def pointwise(x, filters):
    return norm(KL.Conv2D(filters, 1, use_bias=False)(KL.ReLU()(x)))


def factorized_reduce(x, filters):
    x = KL.ReLU()(x)
    even = KL.Conv2D(filters // 2, 1, 2, use_bias=False)(x)
    odd = KL.Cropping2D(((1, 0), (1, 0)))(x)
    odd = KL.Conv2D(filters // 2, 1, 2, use_bias=False)(odd)
    return norm(KL.Concatenate()([even, odd]))


def separable(x, filters, size, strides=1, dilation=1):
    x = KL.ReLU()(x)
    if strides == 2:
        x = KL.ZeroPadding2D(size // 2)(x)
    x = KL.SeparableConv2D(
        filters,
        size,
        strides,
        "same" if strides == 1 else "valid",
        dilation_rate=dilation,
        use_bias=False,
    )(x)
    return norm(x)


def sep_conv(size):
    def apply(x, filters, strides):
        x = separable(x, filters, size, strides)
        return separable(x, filters, size)

    return apply


def dil_conv(size):
    def apply(x, filters, strides):
        if strides == 1:
            return separable(x, filters, size, dilation=2)
        return separable(KL.MaxPooling2D(1, 2)(x), filters, size)

    return apply


def pool(layer):
    def apply(x, filters, strides):
        x = layer(3, 1, "same")(x)
        if strides == 2:
            x = KL.MaxPooling2D(1, 2)(x)
        return norm(x)

    return apply


def skip(x, filters, strides):
    return x if strides == 1 else factorized_reduce(x, filters)


BY_HAND = {
    "max_pool_3x3": pool(KL.MaxPooling2D),
    "avg_pool_3x3": pool(KL.AveragePooling2D),
    "skip_connect": skip,
    "sep_conv_3x3": sep_conv(3),
    "sep_conv_5x5": sep_conv(5),
    "dil_conv_3x3": dil_conv(3),
    "dil_conv_5x5": dil_conv(5),
}


def child(genotype, cells, channels, image):
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=cells,
        channels=channels,
        input_shape=(image, image, 3),
        affine=True,
    )
    genotype = {name: genotype[name] for name in space.choices()}
    return snas_keras.build_child(space, genotype)


def prepare(args):
    make = by_hand if args.by_hand else child
    keras.utils.set_random_seed(0)
    build_seconds, model = harness.seconds(
        lambda: make(drawn_genotype(), args.cells, args.channels, args.image)
    )
    model.compile(
        snas_keras.CoupledSGD(weight_decay=3e-4, global_clipnorm=5.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    function = predict if args.predict else train
    step = function(model, args)
    first_step_seconds, _ = harness.seconds(step)
    facts = {
        "build_seconds": build_seconds,
        "first_step_seconds": first_step_seconds,
        "parameters": model.count_params(),
        "operations": operations(model, args),
    }
    return step, facts


def operations(model, args):
    """Return how many operations the graph of a training pass has."""
    x, _ = next(search_step.one_batch(args))
    traced = tf.function(lambda x: model(x, training=True))
    return len(traced.get_concrete_function(x).graph.get_operations())


def train(model, args):
    model.make_train_function()
    batches = search_step.one_batch(args)
    return lambda: float(model.train_function(batches)["loss"])


def predict(model, args):
    x, _ = next(search_step.one_batch(args))
    return lambda: model.predict_on_batch(x)


def main():
    parser = harness.arguments(__doc__, steps=15)
    parser.add_argument("--by-hand", action="store_true", help="as contestant")
    parser.add_argument("--predict", action="store_true", help="no training")
    args = parser.parse_args()
    if args.serve:
        step, facts = prepare(args)
        return harness.serve(harness.timed(step), facts)
    options = harness.contestant_options(args)
    if args.predict:
        options.append("--predict")
    rows = harness.side_by_side(
        [
            harness.Contestant("by hand", SCRIPT, *options, "--by-hand"),
            harness.Contestant("child", SCRIPT, *options),
        ],
        args.steps,
    )
    harness.check_same(rows, ["parameters", "operations"])
    harness.print_table(rows, harness.STEP_COLUMNS)
    harness.write(args.output, vars(args), rows)


SCRIPT = "child_step.py"


if __name__ == "__main__":
    main()
