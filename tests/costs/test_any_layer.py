"""Multiply-adds of layers that users bring, counted by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from snas_keras import costs

KL = keras.layers
# Steps, width, heads, size of a head.
T, D, H, K = 10, 8, 2, 4
SEQUENCE = (None, T, D)
IMAGE = (None, 8, 8, 3)

BY_HAND = {
    # Every step: four gates of (8 + 6) x 6 products.
    "LSTM": (lambda: KL.LSTM(6), SEQUENCE, T * 4 * 6 * (D + 6)),
    "LSTM, all steps": (
        lambda: KL.LSTM(6, return_sequences=True, return_state=True),
        SEQUENCE,
        T * 4 * 6 * (D + 6),
    ),
    "GRU": (lambda: KL.GRU(6), SEQUENCE, T * 3 * 6 * (D + 6)),
    "SimpleRNN": (lambda: KL.SimpleRNN(6), SEQUENCE, T * 6 * (D + 6)),
    "RNN": (lambda: KL.RNN(KL.GRUCell(6)), SEQUENCE, T * 3 * 6 * (D + 6)),
    # The second cell takes what the first gives.
    "stacked cells": (
        lambda: KL.RNN([KL.LSTMCell(6), KL.SimpleRNNCell(3)]),
        SEQUENCE,
        T * (4 * 6 * (D + 6) + 3 * (6 + 3)),
    ),
    "a cell alone": (lambda: KL.LSTMCell(6), (None, D), 4 * 6 * (D + 6)),
    "Bidirectional": (
        lambda: KL.Bidirectional(KL.LSTM(6)),
        SEQUENCE,
        2 * T * 4 * 6 * (D + 6),
    ),
    "TimeDistributed": (
        lambda: KL.TimeDistributed(KL.Conv2D(2, 3, padding="same")),
        (None, 5, *IMAGE[1:]),
        5 * 64 * 27 * 2,
    ),
    # 5 steps, 7 x 7 places, kernels of 2 x 2 x 3 and 2 x 2 x 4, four gates.
    "ConvLSTM2D": (
        lambda: KL.ConvLSTM2D(4, 2),
        (None, 5, *IMAGE[1:]),
        5 * 49 * 4 * 4 * (2 * 2 * 3 + 2 * 2 * 4),
    ),
    "ConvLSTM2D, all steps": (
        lambda: KL.ConvLSTM2D(4, 2, return_sequences=True),
        (None, 5, *IMAGE[1:]),
        5 * 49 * 4 * 4 * (2 * 2 * 3 + 2 * 2 * 4),
    ),
    # Scores and sums over the values.
    "Attention": (lambda: KL.Attention(), [SEQUENCE] * 2, 2 * T * T * D),
    # Scores are a sum of tanh: only the sums over the values.
    "AdditiveAttention": (
        lambda: KL.AdditiveAttention(),
        [SEQUENCE] * 2,
        T * T * D,
    ),
    "EinsumDense": (
        lambda: KL.EinsumDense("abc,cde->abde", (None, 5, 3), bias_axes="e"),
        SEQUENCE,
        T * D * 5 * 3,
    ),
    "Dot": (lambda: KL.Dot(1), [(None, D), (None, D)], D),
    "SpectralNormalization": (
        lambda: KL.SpectralNormalization(KL.Conv2D(4, 3, padding="same")),
        IMAGE,
        64 * 27 * 4,
    ),
    "Conv1DTranspose": (
        lambda: KL.Conv1DTranspose(3, 2, 2),
        SEQUENCE,
        T * D * 2 * 3,
    ),
    "Conv3DTranspose": (
        lambda: KL.Conv3DTranspose(3, 2, 2),
        (None, 4, 4, 4, 2),
        64 * 2 * 8 * 3,
    ),
    "SeparableConv1D": (
        lambda: KL.SeparableConv1D(3, 2, padding="same"),
        SEQUENCE,
        T * (2 * D + D * 3),
    ),
    "DepthwiseConv1D": (
        lambda: KL.DepthwiseConv1D(2, padding="same"),
        SEQUENCE,
        T * D * 2,
    ),
    # Windows of 8 / 4 pixels a side, each pixel in one of them.
    "AdaptiveAveragePooling2D": (
        lambda: KL.AdaptiveAveragePooling2D(4),
        IMAGE,
        64 * 3,
    ),
    # Five pixels in two windows of three: the one in the middle is in both.
    "AdaptiveMaxPooling2D": (
        lambda: KL.AdaptiveMaxPooling2D(2),
        (None, 5, 5, 1),
        6 * 6,
    ),
    "MaxPooling3D": (
        lambda: KL.MaxPooling3D(2),
        (None, 4, 4, 4, 2),
        8 * 2 * 8,
    ),
    "GlobalMaxPooling1D": (
        lambda: KL.GlobalMaxPooling1D(),
        SEQUENCE,
        T * D,
    ),
    "Lambda": (lambda: KL.Lambda(lambda x: 2 * x), SEQUENCE, 0),
    "Lambda of TensorFlow": (
        lambda: KL.Lambda(lambda x: tf.nn.relu(x)),
        SEQUENCE,
        0,
    ),
    "Lambda with a product": (
        lambda: KL.Lambda(lambda x: tf.matmul(x, x, transpose_b=True)),
        SEQUENCE,
        T * T * D,
    ),
}
NOTHING = [
    *("LayerNormalization", "GroupNormalization", "RMSNormalization"),
    *("UnitNormalization", "BatchNormalization", "Normalization", "Rescaling"),
    *("UpSampling2D", "ZeroPadding2D", "Cropping2D", "PReLU", "Softmax"),
    *("GaussianNoise", "Identity", "Flatten", "ActivityRegularization"),
]


def built(layer, shape):
    if not layer.built:
        layer.build(shape)
    return layer


@pytest.mark.parametrize("name", BY_HAND)
def test_multiply_adds_are_the_hand_count(name):
    make, shape, flops = BY_HAND[name]
    assert costs.flops(built(make(), shape), shape) == flops


@pytest.mark.parametrize("name", NOTHING)
def test_what_runs_no_kernel_has_no_multiply_adds(name):
    make = getattr(KL, name)
    layer = make(3) if name == "GroupNormalization" else None
    if name in ("Rescaling", "GaussianNoise"):
        layer = make(0.5)
    layer = built(layer or make(), IMAGE)
    assert costs.flops(layer, IMAGE) == 0


def test_resizing_augmenting_and_looking_up_are_free():
    assert costs.flops(KL.Resizing(4, 4), IMAGE) == 0
    assert costs.flops(KL.RandomFlip(), IMAGE) == 0
    assert costs.flops(KL.CategoryEncoding(4), (None, 1)) == 0
    assert costs.flops(KL.StringLookup(vocabulary=["a"]), (None, 1)) == 0
    embedding = built(KL.Embedding(10, 4), (None, T))
    assert costs.flops(embedding, (None, T)) == 0
    assert costs.parameters(embedding) == 40


def test_self_attention_is_that_of_one_tensor_or_of_two():
    """Four projections of 8 x (2 x 4), scores, and sums over the values."""
    layer = KL.MultiHeadAttention(H, K)
    layer.build(SEQUENCE, SEQUENCE)
    wanted = 4 * T * D * H * K + 2 * H * T * T * K
    assert costs.flops(layer, SEQUENCE) == wanted
    assert costs.flops(layer, (SEQUENCE, SEQUENCE)) == wanted


def test_attention_to_another_sequence_counts_both_lengths():
    other = (None, 6, D)
    layer = KL.MultiHeadAttention(H, K)
    layer.build(SEQUENCE, other)
    wanted = 2 * T * D * H * K + 2 * 6 * D * H * K + 2 * H * T * 6 * K
    assert costs.flops(layer, (SEQUENCE, other)) == wanted
    x = keras.Input((T, D)), keras.Input((6, D))
    for y in (layer(*x), layer(value=x[1], query=x[0])):
        assert costs.flops(keras.Model(x, y), [SEQUENCE, other]) == wanted


def test_grouped_queries_share_keys_and_values():
    """Four heads of queries, two of keys and of values."""
    layer = KL.GroupQueryAttention(K, 4, 2)
    layer.build(SEQUENCE, SEQUENCE)
    wanted = 2 * T * D * 4 * K + 2 * T * D * 2 * K + 2 * 4 * T * T * K
    assert costs.flops(layer, SEQUENCE) == wanted


def numbers(*shape):
    return np.ones(shape, "float32")


# On an image of 8 x 8 x 3.
OPERATIONS = {
    "elementwise": (lambda x: ops.log(x + x) * 2.0 - 1.0, 0),
    "powers and means": (lambda x: ops.mean(x**2, axis=1), 0),
    "slices": (lambda x: x[:, 1:, ::2], 0),
    "softmax": (lambda x: ops.softmax(ops.reshape(x, (-1, 64, 3))), 0),
    "matmul": (lambda x: ops.matmul(x, numbers(3, 5)), 64 * 3 * 5),
    "matmul of a constant": (
        lambda x: ops.matmul(numbers(2, 8), x),
        8 * 2 * 8 * 3,
    ),
    "@": (lambda x: x @ ops.ones((3, 5)), 64 * 3 * 5),
    "matmul of two": (
        lambda x: ops.matmul(x, ops.transpose(x, (0, 1, 3, 2))),
        8 * 8 * 3 * 8,
    ),
    "einsum": (lambda x: ops.einsum("bhwc,bhwd->bcd", x, x), 64 * 9),
    "einsum with an ellipsis": (
        lambda x: ops.einsum("...c,cd->...d", x, numbers(3, 5)),
        64 * 15,
    ),
    "einsum that broadcasts": (
        lambda x: ops.einsum("...ab,...bc->...ac", x, numbers(1, 1, 3, 5)),
        64 * 15,
    ),
    "einsum of one": (lambda x: ops.einsum("bhwc->bc", x), 0),
    "tensordot": (
        lambda x: ops.tensordot(x, numbers(3, 5), axes=1),
        64 * 3 * 5,
    ),
    "dot": (lambda x: ops.dot(x, numbers(3, 5)), 64 * 3 * 5),
    "conv": (
        lambda x: ops.conv(x, numbers(3, 3, 3, 5), padding="same"),
        64 * 27 * 5,
    ),
    "depthwise_conv": (
        lambda x: ops.depthwise_conv(x, numbers(3, 3, 3, 2), padding="same"),
        64 * 9 * 6,
    ),
    "separable_conv": (
        lambda x: ops.separable_conv(
            x, numbers(3, 3, 3, 1), numbers(1, 1, 3, 6), padding="same"
        ),
        64 * (27 + 18),
    ),
    "conv_transpose": (
        lambda x: ops.conv_transpose(x, numbers(2, 2, 5, 3), strides=2),
        192 * 20,
    ),
    "average_pool": (lambda x: ops.average_pool(x, 2), 4 * 16 * 3),
    "dot_product_attention": (
        lambda x: ops.dot_product_attention(x, x, x),
        2 * 8 * 8 * 8 * 3,
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_raw_operations_are_the_hand_count(name):
    function, flops = OPERATIONS[name]
    inputs = keras.Input(IMAGE[1:])
    model = keras.Model(inputs, function(inputs))
    assert costs.flops(model, IMAGE) == flops
    assert costs.parameters(model) == 0
    assert flops == 0 or costs.memory_access(model, IMAGE) > 0


class Block(KL.Layer):
    """Two dense layers and an activation in between."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.up, self.down = KL.Dense(16), KL.Dense(D)
        self.norms = [KL.LayerNormalization(), KL.LayerNormalization()]

    def build(self, input_shape):
        self.up.build(input_shape)
        self.down.build((*input_shape[:-1], 16))
        for norm in self.norms:
            norm.build(input_shape)
        self.built = True

    def call(self, x, training=False):
        y = self.down(self.activated(self.up(self.norms[0](x))))
        return self.norms[1](x + y)

    def activated(self, x):
        return keras.activations.gelu(x)


class WithTensorFlow(Block):
    def activated(self, x):
        return tf.nn.gelu(x)


class WithLoss(Block):
    def activated(self, x):
        self.add_loss(ops.mean(x))
        return x


class WithOwnProduct(Block):
    """Of which TensorFlow does one: 10 x 10 x 16 and 10 x 10 x 16."""

    def activated(self, x):
        return tf.matmul(tf.matmul(x, x, transpose_b=True), x)


class Counting(Block):
    """Changes its state in every call."""

    def build(self, input_shape):
        super().build(input_shape)
        self.count = self.add_weight(shape=(), trainable=False, name="count")

    def activated(self, x):
        self.count.assign(self.count + ops.mean(x))
        return x


BLOCK = T * 2 * D * 16


@pytest.mark.parametrize(
    ("kind", "flops"),
    [
        (Block, BLOCK),
        (WithTensorFlow, BLOCK),
        (WithLoss, BLOCK),
        (WithOwnProduct, BLOCK + 2 * T * T * 16),
        (Counting, BLOCK),
    ],
)
def test_a_composite_layer_costs_what_its_calls_cost(kind, flops):
    layer = built(kind(), SEQUENCE)
    before = [np.array(v) for v in layer.variables]
    assert costs.flops(layer, SEQUENCE) == flops
    assert costs.memory_access(layer, SEQUENCE) > 0
    assert costs.parameters(layer) == 2 * D * 16 + 16 + D + 4 * D
    # Counting leaves no trace.
    assert layer.losses == []
    assert "call" not in vars(layer.up)
    for old, new in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_composites_in_composites_and_models_are_summed():
    class Two(KL.Layer):
        def __init__(self):
            super().__init__()
            self.block, self.rnn = Block(), KL.LSTM(3)

        def build(self, input_shape):
            self.block.build(input_shape)
            self.rnn.build(input_shape)

        def call(self, x):
            return self.rnn(tf.identity(self.block(self.block(x))))

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.two = Two()

        def build(self, input_shape):
            self.two.build(input_shape)

        def call(self, x):
            return self.two(x)

    model = keras.Sequential([keras.Input((T, D)), Own(), KL.Dense(2)])
    wanted = 2 * BLOCK + T * 4 * 3 * (D + 3) + 3 * 2
    assert costs.flops(model, SEQUENCE) == wanted


def test_a_layer_that_moves_windows_into_the_batch_counts_all_of_them():
    """Four windows of 16 pixels, each with self-attention of its own."""

    class Windows(KL.Layer):
        def __init__(self):
            super().__init__()
            self.attention = KL.MultiHeadAttention(1, K)

        def build(self, input_shape):
            self.attention.build((None, 16, D), (None, 16, D))

        def call(self, x):
            x = ops.reshape(x, (-1, 2, 4, 2, 4, D))
            x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
            x = ops.reshape(x, (-1, 16, D))
            return ops.reshape(self.attention(x, x), (-1, 8, 8, D))

    shape = (None, 8, 8, D)
    layer = built(Windows(), shape)
    wanted = 4 * (4 * 16 * D * K + 2 * 16 * 16 * K)
    assert costs.flops(layer, shape) == wanted


def test_weights_used_by_raw_operations_count():
    class Product(KL.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], 5))

        def call(self, x):
            return ops.matmul(x, self.kernel)

    layer = built(Product(), SEQUENCE)
    assert costs.flops(layer, SEQUENCE) == T * D * 5
    assert costs.parameters(layer) == D * 5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_changes_no_count(policy):
    class Product(KL.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], 5))

        def call(self, x):
            return tf.matmul(x, self.kernel)

    inputs = keras.Input((T, D))
    x = KL.Dense(D, dtype=policy)(inputs)
    model = keras.Model(inputs, Product(dtype=policy)(x))
    assert costs.flops(model, SEQUENCE) == T * D * (D + 5)


def test_a_subclass_with_a_call_of_its_own_costs_what_that_does():
    """A dense layer, and a detour of rank one."""

    class Detour(KL.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.down = self.add_weight(shape=(input_shape[-1], 1))
            self.up = self.add_weight(shape=(1, self.units))

        def call(self, x):
            return super().call(x) + x @ self.down @ self.up

    layer = built(Detour(5), SEQUENCE)
    assert costs.flops(layer, SEQUENCE) == T * (D * 5 + D + 5)

    @costs.flops.register(Detour)
    def _(layer, input_shape):
        return 7.0

    assert costs.flops(layer, SEQUENCE) == 7.0


def test_a_cell_of_ones_own_is_counted_every_step():
    class Cell(KL.Layer):
        def __init__(self):
            super().__init__()
            self.state_size = self.output_size = 6
            self.dense = KL.Dense(6)

        def build(self, input_shape):
            self.dense.build((None, input_shape[-1] + 6))

        def call(self, inputs, states):
            y = self.dense(ops.concatenate([inputs, states[0]], -1))
            return y, [y]

    layer = built(KL.RNN(Cell()), SEQUENCE)
    assert costs.flops(layer, SEQUENCE) == T * (D + 6) * 6
    # On top of another it takes what that gives.
    layer = built(KL.RNN([KL.GRUCell(3), Cell()]), SEQUENCE)
    wanted = T * (3 * 3 * (D + 3) + (3 + 6) * 6)
    assert costs.flops(layer, SEQUENCE) == wanted


def test_an_inert_layer_of_ones_own_is_free():
    class Noise(KL.Layer):
        is_inert = True

        def call(self, x, training=False):
            return tf.numpy_function(lambda y: y, [x], "float32")

    assert costs.flops(Noise(), (None, 3, 3)) == 0
    assert costs.memory_access(Noise(), (None, 3, 3)) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.linalg.inv(x),
        lambda x: tf.while_loop(lambda y: True, lambda y: (y,), (x,))[0],
        lambda x: tf.numpy_function(lambda y: y, [x], "float32"),
        lambda x: tf.signal.rfft(x),
    ],
)
def test_work_that_is_not_known_is_never_counted_as_nothing(function):
    class Mine(KL.Layer):
        def call(self, x):
            return function(x)

    with pytest.raises(TypeError, match=r"flops\.register\(Mine\)"):
        costs.flops(Mine(), (None, 4, 4))


def test_every_operation_of_keras_is_free_counted_or_refused():
    """A new one of Keras must be sorted; the names we know must exist."""
    from snas_keras.costs import _operations

    def classes(kind):
        for child in kind.__subclasses__():
            yield child
            yield from classes(child)

    raw = {
        kind.__name__
        for kind in classes(keras.Operation)
        if kind.__module__.startswith("keras.src.ops.")
        and not issubclass(kind, KL.Layer)
    }
    known = _operations.FREE | set(_operations.KERNELS)
    refused = {
        *("AssociativeScan", "CDist", "CTCDecode", "CTCLoss", "Cholesky"),
        *("CholeskyInverse", "Cond", "Corrcoef", "Correlate", "Det", "Eig"),
        *("Eigh", "ElasticTransform", "FFT", "FFT2", "ForiLoop", "Function"),
        *("GaussianBlur", "IFFT2", "IRFFT", "ISTFT", "Inv", "JVP", "Logdet"),
        *("Lstsq", "LuFactor", "Map", "MatrixRank", "PSNR", "Pinv", "Qr"),
        *("RFFT", "SSIM", "STFT", "SVD", "Scan", "Slogdet", "SobelEdges"),
        *("Solve", "SolveTriangular", "Switch", "Vander", "VectorizedMap"),
        "WhileLoop",
    }
    assert raw - known - refused == set()
    assert not known & refused
