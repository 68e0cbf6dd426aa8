"""Small but real models as search spaces, with data and counts by hand.

Each function returns the arguments of `testing.check_space`.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import snas_keras

KL = keras.layers
EXAMPLES = 12
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def normal(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=(EXAMPLES, *shape))
    return values.astype("float32")


def classes(number, seed=1):
    return np.random.default_rng(seed).integers(0, number, EXAMPLES)


def sum_over(genotype, counts):
    """Add the counts of a genotype's candidates."""
    return sum(counts[name][candidate] for name, candidate in genotype.items())


def text_with_masks():
    """Words of differing number, padded by zeros; two kinds of memory."""

    @snas_keras.search_space
    def text(choose):
        inputs = keras.Input((6,), dtype="int32", name="words")
        x = KL.Embedding(9, 4, mask_zero=True)(inputs)
        x = choose("dense", {"dense": KL.Dense(4), "skip": KL.Identity()})(x)
        memory = {"lstm": KL.LSTM(4), "gru": KL.GRU(4)}
        x = choose("memory", memory)(x)
        return inputs, KL.Dense(2, name="classes")(x)

    words = np.random.default_rng(0).integers(1, 9, (EXAMPLES, 6))
    lengths = np.random.default_rng(1).integers(2, 7, (EXAMPLES, 1))
    words = np.where(np.arange(6) < lengths, words, 0)
    counts = {
        "dense": {"dense": 6 * 4 * 4, "skip": 0},
        # Four gates, or three, each of 4 inputs and 4 states to 4 units.
        "memory": {"lstm": 6 * 4 * 8 * 4, "gru": 6 * 3 * 8 * 4},
    }
    return {
        "space": text(),
        "x": words.astype("int32"),
        "y": classes(2),
        "loss": CROSS_ENTROPY,
        "flops": lambda g: 4 * 2 + sum_over(g, counts),
    }


def tabular_with_preprocessing():
    """Numbers that are normalized, and strings that are looked up."""
    numbers = 5.0 + 3.0 * normal(3)
    # Keras takes strings as tensors only.
    towns = tf.constant(np.array(["Bern", "Rome", "Oslo"])[classes(3)][:, None])
    normalization = KL.Normalization(name="normalized")
    normalization.adapt(numbers)
    lookup = KL.StringLookup(name="looked_up", output_mode="one_hot")
    lookup.adapt(towns)

    @snas_keras.search_space
    def table(choose):
        number = keras.Input((3,), name="numbers")
        town = keras.Input((1,), dtype="string", name="towns")
        x = KL.Concatenate()([normalization(number), lookup(town)])
        for name in ("first", "second"):
            candidates = {
                "relu": KL.Dense(7, activation="relu"),
                "tanh": KL.Dense(7, activation="tanh", use_bias=False),
            }
            x = choose(name, candidates)(x)
        return {"numbers": number, "towns": town}, KL.Dense(1)(x)

    return {
        "space": table(),
        "x": {"numbers": numbers, "towns": towns},
        "y": normal(1, seed=2),
        "flops": lambda g: 2 * 7 * 7 + 7,
    }


def siamese():
    """One searched embedding for two images, compared by a raw operation."""

    @snas_keras.search_space
    def pair(choose):
        shape = (6, 6, 2)
        left, right = keras.Input(shape, name="b"), keras.Input(shape, name="a")
        candidates = {
            "conv": KL.Conv2D(2, 3, padding="same", activation="relu"),
            "pool": KL.AveragePooling2D(3, 1, "same"),
        }
        layer = choose("layer", candidates)
        head = KL.Dense(3, activation="tanh", name="head")
        pool = KL.GlobalAveragePooling2D()
        one, other = (head(pool(layer(x))) for x in (left, right))
        distance = ops.sum(ops.square(one - other), axis=-1, keepdims=True)
        return [left, right], distance

    conv, pool = 2 * 36 * 9 * 2 * 2, 2 * 36 * 9 * 2
    counts = {"layer": {"conv": conv, "pool": pool}}
    # Global pooling adds up every pixel, and the head has no sharing either.
    fixed = 2 * (36 * 2 + 2 * 3)
    return {
        "space": pair(),
        "x": [normal(6, 6, 2), normal(6, 6, 2, seed=1)],
        "y": normal(1, seed=2) ** 2,
        "flops": lambda g: fixed + sum_over(g, counts),
    }


def several_inputs_and_outputs():
    """A dict of inputs, and one of outputs whose keys are not sorted."""

    @snas_keras.search_space
    def heads(choose):
        inputs = {
            "wide": keras.Input((5,), name="wide"),
            "deep": keras.Input((4,), name="deep"),
        }
        x = choose("deep", {"dense": KL.Dense(4), "skip": KL.Identity()})(
            inputs["deep"]
        )
        x = KL.Concatenate()([inputs["wide"], x])
        outputs = {
            "price": KL.Dense(1, name="price")(x),
            "kind": KL.Dense(3, name="kind")(x),
        }
        return inputs, outputs

    counts = {"deep": {"dense": 16, "skip": 0}}
    return {
        "space": heads(),
        "x": {"wide": normal(5), "deep": normal(4, seed=1)},
        "y": {"price": normal(1, seed=2), "kind": classes(3)},
        "loss": {"price": "mse", "kind": CROSS_ENTROPY},
        "flops": lambda g: 9 * 1 + 9 * 3 + sum_over(g, counts),
    }


def u_net():
    """Down and up again, with a skip and batch norms."""

    def block(choose, name, x, filters):
        candidates = {
            "conv_3x3": KL.Conv2D(filters, 3, padding="same", use_bias=False),
            "conv_1x1": KL.Conv2D(filters, 1, use_bias=False),
        }
        x = KL.BatchNormalization()(choose(name, candidates)(x))
        return KL.ReLU()(x)

    @snas_keras.search_space
    def segmentation(choose):
        inputs = keras.Input((8, 8, 1))
        high = block(choose, "down", inputs, 2)
        low = block(choose, "bottom", KL.MaxPooling2D()(high), 4)
        up = {
            "transposed": KL.Conv2DTranspose(2, 2, 2),
            "resized": lambda: keras.Sequential(
                [KL.UpSampling2D(), KL.Conv2D(2, 1)]
            ),
        }
        x = KL.Concatenate()([choose("up", up)(low), high])
        return inputs, KL.Conv2D(1, 1, activation="sigmoid")(x)

    counts = {
        "down": {"conv_3x3": 64 * 9 * 2, "conv_1x1": 64 * 2},
        "bottom": {"conv_3x3": 16 * 9 * 2 * 4, "conv_1x1": 16 * 2 * 4},
        "up": {"transposed": 16 * 4 * 4 * 2, "resized": 64 * 4 * 2},
    }
    fixed = 16 * 4 * 2 + 64 * 4 * 1  # The pooling and the last convolution.
    images = normal(8, 8, 1)
    return {
        "space": segmentation(),
        "x": images,
        "y": (images > 0).astype("float32"),
        "loss": "binary_crossentropy",
        "flops": lambda g: fixed + sum_over(g, counts),
        "exports": ("saved_model", "litert"),
    }


def pretrained_backbone():
    """A frozen network with weights of its own, and a searched head."""
    keras.utils.set_random_seed(7)
    backbone = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            KL.Rescaling(1 / 255),
            KL.Conv2D(4, 3),
            KL.BatchNormalization(),
            KL.ReLU(),
            KL.GlobalAveragePooling2D(),
        ],
        name="backbone",
    )
    backbone.trainable = False

    @snas_keras.search_space
    def fine_tuning(choose):
        inputs = keras.Input((6, 6, 3), dtype="uint8", name="image")
        x = backbone(inputs)
        head = {
            "linear": lambda: KL.Dense(4),
            "deep": lambda: keras.Sequential(
                [KL.Dense(4, activation="relu"), KL.Dense(4)]
            ),
        }
        return inputs, KL.Dense(2)(choose("head", head)(x))

    images = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 6, 6, 3))
    counts = {"head": {"linear": 16, "deep": 32}}
    fixed = 16 * 9 * 3 * 4 + 16 * 4 + 8
    return {
        "space": fine_tuning(),
        "x": images.astype("uint8"),
        "y": classes(2),
        "loss": CROSS_ENTROPY,
        "flops": lambda g: fixed + sum_over(g, counts),
    }


def attention():
    """A transformer's block with attention against a convolution."""

    @snas_keras.search_space
    def transformer(choose):
        inputs = keras.Input((5, 4))
        x = KL.LayerNormalization()(inputs)
        heads = {
            "two_heads": KL.MultiHeadAttention(2, 2),
            "one_head": KL.MultiHeadAttention(1, 4),
        }
        x = KL.Add()([inputs, choose("heads", heads)(x, x)])
        mixing = {
            "attention": KL.MultiHeadAttention(1, 2),
            "conv": KL.Conv1D(4, 3, padding="same"),
        }
        x = KL.Add()([x, choose("mixing", mixing)(x)])
        return inputs, KL.Dense(1)(KL.GlobalAveragePooling1D()(x))

    def attended(heads, size):
        """Query, key, value and output; products with keys and values."""
        return 4 * 5 * 4 * heads * size + 2 * heads * 5 * 5 * size

    counts = {
        "heads": {"two_heads": attended(2, 2), "one_head": attended(1, 4)},
        "mixing": {"attention": attended(1, 2), "conv": 5 * 3 * 4 * 4},
    }
    # The pooling adds up five steps of four features.
    return {
        "space": transformer(),
        "x": normal(5, 4),
        "y": normal(1, seed=1),
        "flops": lambda g: 5 * 4 + 4 + sum_over(g, counts),
    }


def recurrent():
    """A series of numbers, forecast by recurrent layers in wrappers."""

    @snas_keras.search_space
    def series(choose):
        inputs = keras.Input((6, 2))
        memory = {
            "simple": KL.Bidirectional(KL.SimpleRNN(2, return_sequences=True)),
            "gru": KL.Bidirectional(KL.GRU(2, return_sequences=True)),
        }
        x = choose("memory", memory)(inputs)
        each = {"each": KL.TimeDistributed(KL.Dense(4)), "skip": KL.Identity()}
        x = choose("each", each)(x)
        return inputs, KL.Dense(1)(KL.LSTM(3)(x))

    counts = {
        "memory": {"simple": 2 * 6 * 4 * 2, "gru": 2 * 6 * 3 * 4 * 2},
        "each": {"each": 6 * 4 * 4, "skip": 0},
    }
    fixed = 6 * 4 * (4 + 3) * 3 + 3
    return {
        "space": series(),
        "x": normal(6, 2),
        "y": normal(1, seed=1),
        "flops": lambda g: fixed + sum_over(g, counts),
    }


def shared_layers():
    """An autoencoder whose code is also judged, by layers shared in pairs."""

    @snas_keras.search_space
    def adversarial(choose):
        inputs = keras.Input((6,))
        judge = keras.Sequential(
            [KL.Dense(4, activation="relu"), KL.Dense(1)], name="judge"
        )
        code = {
            "wide": KL.Dense(6, activation="tanh"),
            "narrow": lambda: keras.Sequential([KL.Dense(2), KL.Dense(6)]),
        }
        fake = choose("code", code)(inputs)
        outputs = {"fake": judge(fake), "real": judge(inputs), "image": fake}
        return inputs, outputs

    counts = {"code": {"wide": 36, "narrow": 24}}
    ones = np.ones((EXAMPLES, 1), "float32")
    return {
        "space": adversarial(),
        "x": normal(6),
        "y": {"fake": ones, "real": 0 * ones, "image": normal(6)},
        "loss": {"fake": "mse", "real": "mse", "image": "mae"},
        "flops": lambda g: 2 * (24 + 4) + sum_over(g, counts),
    }


def submodels():
    """Models in models, one of them called twice, with dropout and noise."""

    @snas_keras.search_space
    def nested(choose):
        x = inputs = keras.Input((4,))
        inner = keras.Input((4,), name="inner")
        half = KL.Dense(4, activation="relu", name="half")(inner)
        block = keras.Model(inner, KL.Add()([inner, half]), name="block")
        candidates = {
            "block": lambda: keras.models.clone_model(block),
            "noise": lambda: keras.Sequential(
                [KL.GaussianNoise(0.1), KL.Dense(4), KL.Dropout(0.2)]
            ),
        }
        for name in ("first", "second"):
            x = block(choose(name, candidates)(x))
        return inputs, KL.Dense(1)(x)

    return {
        "space": nested(),
        "x": normal(4),
        "y": normal(1, seed=1),
        "flops": lambda g: 2 * 16 + 2 * 16 + 4,
    }


def raw_operations():
    """Operators, slices, products and constants between the choices."""

    @snas_keras.search_space
    def program(choose):
        inputs = keras.Input((6, 4))
        x = 2.0 * inputs + 1.0
        dense = {"dense": KL.Dense(4), "skip": KL.Identity()}
        x = choose("dense", dense)(x) - inputs[:, ::-1]
        scores = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))))
        x = ops.einsum("bij,bjk->bik", scores, x)
        x = ops.log(1.0 + ops.square(x))
        x = ops.concatenate([ops.mean(x, axis=1), ops.max(x, axis=1)], -1)
        return inputs, KL.Dense(1)(x)

    counts = {"dense": {"dense": 6 * 16, "skip": 0}}
    # Two products of (6, 4) and (6, 6), and the last layer.
    return {
        "space": program(),
        "x": normal(6, 4),
        "y": normal(1, seed=1),
        "flops": lambda g: 2 * 6 * 6 * 4 + 8 + sum_over(g, counts),
    }


@keras.saving.register_keras_serializable(package="models")
class Scale(KL.Layer):
    """Multiplies by a weight, adds a loss, and has a state."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones")
        self.calls = self.add_weight(
            shape=(), initializer="zeros", trainable=False
        )

    def call(self, inputs, training=False):
        if training:
            self.calls.assign_add(1.0)
        self.add_loss(1e-2 * ops.mean(ops.square(self.scale)))
        return self.factor * self.scale * inputs

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@snas_keras.costs.flops.register(Scale)
def flops_of_scale(layer, input_shape):
    return float(input_shape[-1])


def own_layers():
    """Layers of one's own, with losses, state and regularizers."""

    @snas_keras.search_space
    def own(choose):
        x = inputs = keras.Input((5,))
        for name in ("first", "second"):
            dense = KL.Dense(
                5, kernel_regularizer="l2", activity_regularizer="l1"
            )
            x = choose(name, {"scale": Scale(0.5), "dense": dense})(x)
        return inputs, KL.Dense(1)(x)

    counts = {name: {"scale": 5, "dense": 25} for name in ("first", "second")}
    return {
        "space": own(),
        "x": normal(5),
        "y": normal(1, seed=1),
        "flops": lambda g: 5 + sum_over(g, counts),
        "modules": ("tests.models",),
    }


def searched_embedding():
    """The embedding itself is searched, so that candidates make the mask."""

    @snas_keras.search_space
    def words(choose):
        inputs = keras.Input((5,), dtype="int32")
        embeddings = {
            "plain": KL.Embedding(7, 4, mask_zero=True),
            "regularized": KL.Embedding(
                7, 4, mask_zero=True, embeddings_regularizer="l2"
            ),
        }
        x = choose("embedding", embeddings)(inputs)
        norms = {"layer": KL.LayerNormalization(), "skip": KL.Identity()}
        x = choose("norm", norms)(x)
        return inputs, KL.Dense(2)(KL.GlobalAveragePooling1D()(x))

    numbers = np.random.default_rng(0).integers(0, 7, (EXAMPLES, 5))
    numbers[:, 0] = 1 + np.arange(EXAMPLES) % 6
    return {
        "space": words(),
        "x": numbers.astype("int32"),
        "y": classes(2),
        "loss": CROSS_ENTROPY,
    }


def series_and_volumes():
    """Causal convolutions in time, and convolutions of volumes."""

    @snas_keras.search_space
    def physics(choose):
        series = keras.Input((6, 2), name="series")
        volume = keras.Input((4, 4, 4, 1), name="volume")
        causal = {
            "dilated": KL.Conv1D(3, 2, padding="causal", dilation_rate=2),
            "separable": KL.SeparableConv1D(3, 3, padding="same"),
        }
        x = KL.Flatten()(choose("causal", causal)(series))
        solid = {
            "conv": KL.Conv3D(2, 2, strides=2),
            "pool": lambda: keras.Sequential(
                [KL.MaxPooling3D(2), KL.Conv3D(2, 1)]
            ),
        }
        y = KL.GlobalMaxPooling3D()(choose("solid", solid)(volume))
        return [series, volume], KL.Dense(1)(KL.Concatenate()([x, y]))

    counts = {
        "causal": {"dilated": 6 * 2 * 2 * 3, "separable": 6 * (3 * 2 + 2 * 3)},
        "solid": {"conv": 8 * 8 * 2, "pool": 8 * 8 + 8 * 2},
    }
    # The pooling takes the largest of eight, for two features.
    return {
        "space": physics(),
        "x": [normal(6, 2), normal(4, 4, 4, 1, seed=1)],
        "y": normal(1, seed=2),
        "flops": lambda g: 16 + 20 + sum_over(g, counts),
    }


def mixed_precision():
    """Layers with a policy of their own, and logits in float32."""

    @snas_keras.search_space
    def half(choose):
        inputs = keras.Input((4, 4, 2))
        convs = {
            "conv": KL.Conv2D(2, 3, padding="same", dtype="mixed_bfloat16"),
            "skip": KL.Identity(dtype="mixed_bfloat16"),
        }
        x = choose("conv", convs)(inputs)
        x = KL.BatchNormalization(dtype="mixed_bfloat16")(x)
        x = KL.GlobalAveragePooling2D(dtype="float32")(x)
        return inputs, KL.Dense(2, dtype="float32")(x)

    counts = {"conv": {"conv": 16 * 9 * 2 * 2, "skip": 0}}
    return {
        "space": half(),
        "x": normal(4, 4, 2),
        "y": classes(2),
        "loss": CROSS_ENTROPY,
        "flops": lambda g: 16 * 2 + 4 + sum_over(g, counts),
    }


def odd_names():
    """Names with signs that Markdown, paths and scopes have for themselves."""

    @snas_keras.search_space
    def names(choose):
        x = inputs = keras.Input((4,), name="x")
        for name in ("a|b", "|none~0|", "x", "déjà vu", "0->1", "$x_1$ $y$"):
            candidates = {"<b>|": KL.Dense(4), "skip_|": KL.Identity()}
            x = choose(name, candidates)(x)
        return inputs, KL.Dense(1, name="a_b")(x)

    return {
        "space": names(),
        "x": normal(4),
        "y": normal(1, seed=1),
        "flops": lambda g: 4 + 16 * list(g.values()).count("<b>|"),
    }


def constraints():
    """Layers that change their own weights, by constraint or by call."""

    @snas_keras.search_space
    def bounded(choose):
        x = inputs = keras.Input((4,))
        candidates = {
            "max_norm": lambda: KL.Dense(4, kernel_constraint="max_norm"),
            "spectral": lambda: KL.SpectralNormalization(KL.Dense(4)),
        }
        for name in ("first", "second"):
            x = choose(name, candidates)(x)
        return inputs, KL.Dense(1)(x)

    return {"space": bounded(), "x": normal(4), "y": normal(1, seed=1)}


MODELS = [
    text_with_masks,
    tabular_with_preprocessing,
    siamese,
    several_inputs_and_outputs,
    u_net,
    pretrained_backbone,
    attention,
    recurrent,
    shared_layers,
    submodels,
    raw_operations,
    own_layers,
    searched_embedding,
    series_and_volumes,
    mixed_precision,
    odd_names,
    constraints,
]
