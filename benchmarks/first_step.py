"""Compare the time to the first step with that of a naive Keras build.

    python benchmarks/first_step.py --cells 8 --batch 16

The naive build is what one writes first: a `keras.Model` subclass of stock
layers whose `call` loops over cells, edges and candidates, called once to make
its variables, then trained by stock optimizers. Each build is a process of its
own, one after the other; the time holds build, compile, trace and first batch.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import keras
import search_step
import tensorflow as tf
from keras import ops

KL = keras.layers
EDGES = [(source, node) for node in range(2, 6) for source in range(node)]


def norm():
    return KL.BatchNormalization(
        momentum=0.9, epsilon=1e-5, center=False, scale=False
    )


def separable(filters, size, strides=1, dilation=1):
    return [
        KL.ReLU(),
        KL.DepthwiseConv2D(
            size,
            strides,
            "same",
            dilation_rate=dilation,
            use_bias=False,
        ),
        KL.Conv2D(filters, 1, use_bias=False),
        norm(),
    ]


def dilated(filters, size, strides):
    if strides == 1:
        return keras.Sequential(separable(filters, size, dilation=2))
    halve = KL.MaxPooling2D(1, 2)
    return keras.Sequential([halve, *separable(filters, size)])


class FactorizedReduce(KL.Layer):
    def __init__(self, filters):
        super().__init__()
        self.even = KL.Conv2D(filters // 2, 1, 2, use_bias=False)
        self.odd = KL.Conv2D(filters // 2, 1, 2, use_bias=False)
        self.norm = norm()

    def call(self, x, training=False):
        x = ops.relu(x)
        halves = [self.even(x), self.odd(x[:, 1:, 1:])]
        return self.norm(ops.concatenate(halves, -1), training=training)


class Zero(KL.Layer):
    def __init__(self, strides):
        super().__init__()
        self.strides = strides

    def call(self, x):
        return 0.0 * x[:, :: self.strides, :: self.strides]


def candidates(filters, strides):
    return [
        Zero(strides),
        keras.Sequential([KL.MaxPooling2D(3, strides, "same"), norm()]),
        keras.Sequential([KL.AveragePooling2D(3, strides, "same"), norm()]),
        KL.Identity() if strides == 1 else FactorizedReduce(filters),
        *(
            keras.Sequential(
                separable(filters, size, strides) + separable(filters, size)
            )
            for size in (3, 5)
        ),
        *(dilated(filters, size, strides) for size in (3, 5)),
    ]


def pointwise(filters):
    return keras.Sequential(
        [KL.ReLU(), KL.Conv2D(filters, 1, use_bias=False), norm()]
    )


class Cell(KL.Layer):
    def __init__(self, filters, is_reduction, halve_before):
        super().__init__()
        self.is_reduction = is_reduction
        first = FactorizedReduce if halve_before else pointwise
        self.first = first(filters)
        self.second = pointwise(filters)
        self.candidates = [
            candidates(filters, 2 if is_reduction and source < 2 else 1)
            for source, _ in EDGES
        ]

    def call(self, before, previous, weights, training=False):
        states = [
            self.first(before, training=training),
            self.second(previous, training=training),
        ]
        edges = iter(zip(self.candidates, ops.unstack(weights), strict=True))
        for node in range(2, 6):
            total = 0.0
            for source in range(node):
                layers, z = next(edges)
                for k, layer in enumerate(layers):
                    y = layer(states[source], training=training)
                    total = total + z[k] * y
            states.append(total)
        return ops.concatenate(states[2:], -1)


class NaiveSuperNet(keras.Model):
    def __init__(self, cells, channels):
        super().__init__()
        self.stem = keras.Sequential(
            [
                KL.Conv2D(3 * channels, 3, padding="same", use_bias=False),
                KL.BatchNormalization(),
            ]
        )
        self.cells, halve_before = [], False
        for index in range(cells):
            is_reduction = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if is_reduction else 1
            self.cells.append(Cell(channels, is_reduction, halve_before))
            halve_before = is_reduction
        self.pool = KL.GlobalAveragePooling2D()
        self.classifier = KL.Dense(10)
        self.logits = [
            self.add_weight(shape=(14, 8), initializer="zeros", name=name)
            for name in ("architecture_normal", "architecture_reduce")
        ]

    def call(self, x, training=False):
        normal, reduce = (self.draw(values) for values in self.logits)
        before = previous = self.stem(x, training=training)
        for cell in self.cells:
            z = reduce if cell.is_reduction else normal
            before, previous = (
                previous,
                cell(before, previous, z, training=training),
            )
        return self.classifier(self.pool(previous))

    def draw(self, logits):
        uniform = keras.random.uniform(logits.shape, 1e-20, 1.0)
        return ops.softmax(logits - ops.log(-ops.log(uniform)))


def naive(args):
    model = NaiveSuperNet(args.cells, args.channels)
    model(tf.zeros((args.batch, args.image, args.image, 3)))
    weights = keras.optimizers.SGD(
        0.025, momentum=0.9, weight_decay=3e-4, global_clipnorm=5.0
    )
    logits = keras.optimizers.Adam(3e-4, beta_1=0.5)
    model.compile(
        keras.optimizers.MultiOptimizer(
            keras.optimizers.OptimizerMap(
                weights, {r"(.*/)?architecture_.*": logits}
            )
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def prepare(args):
    build_seconds, model = harness.seconds(lambda: naive(args))
    model.make_train_function()
    batches = search_step.one_batch(args)

    def step():
        return float(model.train_function(batches)["loss"])

    first_step_seconds, _ = harness.seconds(step)
    facts = {
        "build_seconds": build_seconds,
        "first_step_seconds": first_step_seconds,
        "parameters": search_step.count(model.trainable_variables)
        - search_step.count(model.logits),
    }
    return harness.timed(step), facts


def main():
    args = search_step.arguments(__doc__)
    if args.serve:
        return harness.serve(*prepare(args))
    options = harness.contestant_options(args)
    contestants = [
        harness.Contestant("naive Keras build", "first_step.py", *options),
        harness.Contestant("snas_keras", "search_step.py", *options),
    ]
    rows = harness.one_by_one(contestants, args.steps)
    for row in rows:
        row["total_seconds"] = row["build_seconds"] + row["first_step_seconds"]
        row["share"] = row["total_seconds"] / rows[0]["total_seconds"]
    harness.check_same(rows, ["parameters"])
    harness.print_table(rows, COLUMNS)
    harness.write(args.output, vars(args), rows)


COLUMNS = {
    "contestant": lambda row: row["name"],
    "build, s": lambda row: f"{row['build_seconds']:.1f}",
    "first step, s": lambda row: f"{row['first_step_seconds']:.1f}",
    "both, s": lambda row: f"{row['total_seconds']:.1f}",
    "share": lambda row: f"{row['share']:.2f}",
    "step, s": lambda row: f"{row['step_seconds']:.3f}",
    "peak memory, MB": lambda row: str(row["peak_megabytes"]),
}


if __name__ == "__main__":
    main()
