"""The layers that Keras lacks, against Keras' own and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from snas_keras import layers
from snas_keras.layers import _pooling, _separable_conv, _weighted

KL = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(1.0, 2.0, size=(2, 4, 4, 3)).astype("float32")
COUNT = 2 * 4 * 4


def both_norms(**options):
    """Return our batch norm and Keras' own with equal, unusual weights."""
    ours = layers.FusedBatchNormalization(**options)
    stock = KL.BatchNormalization(
        **{"momentum": 0.9, "epsilon": 1e-5, **options}
    )
    ours.build(X.shape)
    stock.build(X.shape)
    generator = np.random.default_rng(1)
    weights = [
        generator.uniform(0.5, 1.5, w.shape) for w in stock.get_weights()
    ]
    ours.set_weights(weights)
    stock.set_weights(weights)
    return ours, stock


def weighted(layer, weight, inputs, training=False):
    return _weighted.weighted(layer, weight, (inputs,), {}, training)[0]


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_in_training_gives_the_outputs_of_keras(affine):
    """Outputs below ten in float32; the two sum the 32 numbers in another
    order."""
    ours, stock = both_norms(center=affine, scale=affine)
    np.testing.assert_allclose(
        ours(X, training=True), stock(X, training=True), atol=1e-5
    )


@pytest.mark.parametrize(("center", "scale"), [(True, False), (False, True)])
def test_batch_norm_with_half_of_the_affine_map_is_that_of_keras(center, scale):
    ours, stock = both_norms(center=center, scale=scale)
    np.testing.assert_allclose(
        ours(X, training=True), stock(X, training=True), atol=1e-5
    )


def gradients(layer, weights):
    x = tf.Variable(X)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        loss = tf.reduce_sum(tf.sin(y) * weights)
    variables = [x, *(v.value for v in layer.trainable_variables)]
    return tape.gradient(loss, variables)


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_in_training_gives_the_gradients_of_keras(affine):
    """To the input, and to scale and offset where there are any; sums of 32
    float32 terms of size one."""
    weights = np.random.default_rng(2).normal(size=X.shape)
    found, wanted = (
        gradients(layer, weights.astype("float32"))
        for layer in both_norms(center=affine, scale=affine)
    )
    assert len(found) == (3 if affine else 1)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_outside_training_is_that_of_keras_to_the_bit(affine):
    ours, stock = both_norms(center=affine, scale=affine)
    np.testing.assert_array_equal(ours(X), stock(X))


def test_moving_variance_takes_the_unbiased_variance():
    """v <- 0.9 v + 0.1 n / (n - 1) var(x), n = batch x height x width."""
    ours, _ = both_norms()
    before = ours.moving_variance.numpy()
    ours(X, training=True)
    unbiased = X.astype("float64").var((0, 1, 2), ddof=1)
    wanted = 0.9 * before + 0.1 * unbiased
    np.testing.assert_allclose(ours.moving_variance, wanted, rtol=1e-6)


def test_moving_variance_differs_from_keras_by_the_stated_factor():
    """What is added to 0.9 v has the ratio n / (n - 1) = 32 / 31; subtracting
    0.9 v leaves six digits."""
    ours, stock = both_norms()
    kept = 0.9 * ours.moving_variance.numpy()
    for layer in (ours, stock):
        layer(X, training=True)
    ratio = (ours.moving_variance - kept) / (stock.moving_variance - kept)
    np.testing.assert_allclose(ratio, np.full(3, COUNT / (COUNT - 1)), 1e-4)


def test_moving_mean_is_that_of_keras():
    ours, stock = both_norms(momentum=0.7)
    for layer in (ours, stock):
        layer(X, training=True)
    np.testing.assert_allclose(ours.moving_mean, stock.moving_mean, rtol=1e-5)


@pytest.mark.parametrize(
    ("policy", "ulp"), [("mixed_float16", 2**-8), ("mixed_bfloat16", 2**-5)]
)
def test_batch_norm_in_half_precision_is_that_of_keras(policy, ulp):
    """Both compute in float32 and round once: at most one unit in the last
    place apart, for outputs below eight (11 and 8 significant bits)."""
    ours, stock = both_norms(dtype=policy)
    y = ours(X, training=True)
    wanted = stock(X, training=True)
    assert y.dtype == wanted.dtype == policy.removeprefix("mixed_")
    assert ours.moving_mean.dtype == ours.gamma.dtype == "float32"
    np.testing.assert_allclose(
        tf.cast(y, "float32"), tf.cast(wanted, "float32"), atol=ulp
    )
    assert float(tf.reduce_max(tf.abs(tf.cast(wanted, "float32")))) < 8


def test_moving_statistics_in_half_precision_keep_float32_precision():
    """Inputs rounded to 11 bits: 2^-12 relative, far below half a percent."""
    ours, _ = both_norms(dtype="mixed_float16")
    before = ours.moving_mean.numpy()
    ours(X, training=True)
    wanted = 0.9 * before + 0.1 * X.mean((0, 1, 2))
    np.testing.assert_allclose(ours.moving_mean, wanted, rtol=1e-3)


def test_batch_norm_uses_the_fused_kernel_in_training_only():
    """That it is one node is what the layer is for."""
    ours, _ = both_norms()

    def kernels(training):
        graph = tf.function(lambda x: ours(x, training=training))
        nodes = graph.get_concrete_function(X).graph.as_graph_def().node
        return [n.op for n in nodes if n.op == "FusedBatchNormV3"]

    assert kernels(training=True) == ["FusedBatchNormV3"]
    assert kernels(training=False) == []


def test_a_frozen_batch_norm_uses_and_keeps_its_moving_statistics():
    ours, stock = both_norms()
    ours.trainable = stock.trainable = False
    before = ours.get_weights()
    np.testing.assert_array_equal(
        ours(X, training=True), stock(X, training=True)
    )
    for a, b in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("shape", "axis"), [((8, 3), -1), ((4, 5, 3), -1), ((2, 3, 4, 4), 1)]
)
def test_batch_norm_of_other_inputs_is_that_of_keras_to_the_bit(shape, axis):
    """Vectors, sequences and channels first leave the fused kernel alone."""
    x = RNG.normal(size=shape).astype("float32")
    ours = layers.FusedBatchNormalization(axis=axis)
    stock = KL.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-5)
    for training in (True, False):
        np.testing.assert_array_equal(
            ours(x, training=training), stock(x, training=training)
        )
    for a, b in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_masked_batch_norm_is_that_of_keras():
    """The mask takes part: the kernel has none, so it is the parent class."""
    ours, stock = both_norms()
    mask = np.random.default_rng(3).random(X.shape[:3]) < 0.5
    np.testing.assert_array_equal(
        ours(X, training=True, mask=mask), stock(X, training=True, mask=mask)
    )


def test_a_synchronized_batch_norm_leaves_the_kernel_alone():
    """The kernel knows one replica only."""
    ours, stock = both_norms(synchronized=True)
    np.testing.assert_array_equal(
        ours(X, training=True), stock(X, training=True)
    )
    np.testing.assert_array_equal(ours.moving_variance, stock.moving_variance)


def test_batch_norm_of_a_single_pixel_is_finite():
    """The factor n / (n - 1) does not divide by zero."""
    norm = layers.FusedBatchNormalization()
    y = norm(np.ones((1, 1, 1, 2), "float32"), training=True)
    np.testing.assert_array_equal(y, np.zeros((1, 1, 1, 2)))
    np.testing.assert_allclose(norm.moving_variance, [0.9, 0.9], rtol=1e-6)


def test_batch_norm_has_the_published_settings_by_default():
    norm = layers.FusedBatchNormalization()
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


def test_to_stock_of_batch_norm_is_exactly_keras_own_class():
    ours, _ = both_norms(momentum=0.7, epsilon=1e-2)
    stock = ours.to_stock()
    assert type(stock) is KL.BatchNormalization
    assert (stock.momentum, stock.epsilon) == (0.7, 1e-2)


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_zero_subsamples_like_a_slice(strides):
    x = np.ones((2, 7, 8, 3), "float32")
    y = layers.Zero(strides)(x)
    np.testing.assert_array_equal(y, 0 * x[:, ::strides, ::strides])


def test_zero_of_what_is_not_finite_is_zero():
    x = np.float32([[np.inf, np.nan, 1.0]])
    np.testing.assert_array_equal(layers.Zero()(x), np.zeros((1, 3)))


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("layer", ["zero", "pool"])
def test_symbolic_shape_is_the_real_one(layer, strides):
    """Odd sides round up; unknown sides stay unknown."""
    layer = {
        "zero": layers.Zero(strides),
        "pool": layers.SymmetricPooling2D("max", 3, strides),
    }[layer]
    real = layer(np.ones((2, 7, 8, 3), "float32")).shape
    assert layer.compute_output_shape((2, 7, 8, 3)) == tuple(real)
    side = 7 if strides == 1 else None
    shape = layer.compute_output_shape((None, side, None, 3))
    assert shape == (None, side, None, 3)


def test_zero_keeps_the_dtype_of_the_policy():
    y = layers.Zero(2, dtype="mixed_bfloat16")(X)
    assert y.dtype == "bfloat16"


def test_factorized_reduce_halves_the_sides_and_sets_the_filters():
    layer = layers.FactorizedReduce(6)
    assert layer(X).shape == (2, 2, 2, 6)
    assert layer.compute_output_shape((None, 4, 6, 3)) == (None, 2, 3, 6)
    assert layer.compute_output_shape((None, None, None, 3)) == (
        None,
        None,
        None,
        6,
    )


def test_factorized_reduce_takes_its_own_policy():
    layer = layers.FactorizedReduce(4, dtype="mixed_bfloat16")
    assert layer(X).dtype == "bfloat16"
    assert layer.even.kernel.dtype == "float32"


def test_odd_sides_are_refused_by_factorized_reduce():
    message = r"must be even. Received: input_shape=\(1, 4, 5, 2\)"
    with pytest.raises(ValueError, match=message):
        layers.FactorizedReduce(2)(np.ones((1, 4, 5, 2), "float32"))


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_pooling_is_over_windows_centred_on_every_stride(kind, size, strides):
    """NaN marks the padding, which neither the maximum nor the mean sees; all
    inputs are negative, so a zero of padding would win."""
    x = -np.abs(RNG.normal(size=(2, 7, 8, 3))).astype("float32") - 1
    side = (size // 2, size // 2)
    padded = np.pad(x, [(0, 0), side, side, (0, 0)], constant_values=np.nan)
    view = np.lib.stride_tricks.sliding_window_view(
        padded, (size, size), axis=(1, 2)
    )[:, ::strides, ::strides]
    reduce = {"max": np.nanmax, "avg": np.nanmean}[kind]
    y = layers.SymmetricPooling2D(kind, size, strides)(x)
    np.testing.assert_allclose(y, reduce(view, (-2, -1)), rtol=1e-5)


@pytest.mark.parametrize("strides", [2, 3])
def test_subsampling_is_a_slice(strides):
    x = RNG.normal(size=(2, 7, 8, 3)).astype("float32")
    y = _pooling.subsampling(strides)(x)
    np.testing.assert_array_equal(y, x[:, ::strides, ::strides])


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.FusedBatchNormalization(),
        lambda: layers.FusedBatchNormalization(center=False, scale=False),
        lambda: layers.FactorizedReduce(4),
        lambda: layers.FactorizedReduce(4, affine=False),
        lambda: layers.SymmetricPooling2D("max", 3),
        lambda: layers.SymmetricPooling2D("max", 3, 2),
        lambda: layers.SymmetricPooling2D("avg", 5, 2),
    ],
)
def test_to_stock_with_copied_weights_gives_the_same_outputs(make):
    """`set_weights(get_weights())`: the order of the weights is the same."""
    layer = make()
    layer(X)
    layer.set_weights([RNG.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    stock = layer.to_stock()
    stock(X)
    stock.set_weights(layer.get_weights())
    np.testing.assert_allclose(stock(X), layer(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (layers.FusedBatchNormalization, {"momentum": 0.7, "epsilon": 1e-2}),
        (layers.Zero, {"strides": 3}),
        (layers.FactorizedReduce, {"filters": 6, "affine": False}),
        (layers.DropPath, {"rate": 0.25, "seed": 3}),
        (
            layers.SymmetricPooling2D,
            {"kind": "avg", "size": 5, "strides": 2},
        ),
    ],
)
def test_config_holds_the_constructor_arguments(kind, arguments):
    """Compared with what was given, not with what came back."""
    layer = kind(**arguments, name="named", dtype="mixed_bfloat16")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is kind
    assert again.name == "named"
    assert again.dtype_policy.name == "mixed_bfloat16"
    for name, value in arguments.items():
        assert layer.get_config()[name] == value
        assert getattr(again, name) == value


def test_an_integer_of_numpy_is_an_int():
    assert layers.Zero(np.int64(2)).get_config()["strides"] == 2


@pytest.mark.parametrize("strides", [0, -1, 1.0, True, "2", None])
def test_strides_that_are_no_positive_int_are_refused(strides):
    message = f"`strides` must be a positive int. Received: strides={strides!r}"
    with pytest.raises(ValueError, match=message):
        layers.Zero(strides)
    with pytest.raises(ValueError, match=message):
        layers.SymmetricPooling2D("max", 3, strides)


def test_an_unknown_kind_of_pooling_is_refused():
    with pytest.raises(ValueError, match="'max' or 'avg'.*kind='min'"):
        layers.SymmetricPooling2D("min", 3)


@pytest.mark.parametrize(
    ("size", "message"), [(2, "must be odd"), (0, "positive int")]
)
def test_bad_windows_are_refused(size, message):
    with pytest.raises(ValueError, match=f"`size` .*{message}.*size={size}"):
        layers.SymmetricPooling2D("max", size)


@pytest.mark.parametrize(
    ("filters", "message"), [(3, "must be even"), (0, "positive int")]
)
def test_bad_filters_of_factorized_reduce_are_refused(filters, message):
    with pytest.raises(ValueError, match=f"{message}.*filters={filters}"):
        layers.FactorizedReduce(filters)


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("sides", [(6, 8), (5, 7)])
@pytest.mark.parametrize("size", [3, 5])
def test_strided_pooling_is_the_same_in_training(kind, sides, size):
    pool = layers.SymmetricPooling2D(kind, size, 2)
    x = np.random.default_rng(0).normal(size=(2, *sides, 3)).astype("float32")
    np.testing.assert_allclose(
        pool(x, training=True), pool(x, training=False), rtol=1e-5, atol=1e-6
    )


def test_factorized_reduce_takes_the_same_pixels_in_training():
    """Without the batch norm, whose statistics differ in training."""
    reduce = layers.FactorizedReduce(4)
    reduce.build((2, 6, 8, 3))
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 3)).astype("float32")
    pairs = zip(reduce._halves(x), reduce._stock_halves(x), strict=True)
    for fast, stock in pairs:
        np.testing.assert_allclose(fast, stock, rtol=1e-5, atol=1e-6)


SLOPES = np.random.default_rng(7).normal(size=(4, 4, 1)).astype("float32")
WEIGHTED = {
    "batch norm": layers.FusedBatchNormalization,
    "plain batch norm": lambda: layers.FusedBatchNormalization(
        center=False, scale=False
    ),
    "factorized reduce": lambda: layers.FactorizedReduce(4),
    "sequential": lambda: keras.Sequential(
        [KL.Conv2D(3, 3, use_bias=False), layers.FusedBatchNormalization()]
    ),
    "stock": lambda: keras.Sequential(
        [KL.Conv2D(3, 3), KL.BatchNormalization()]
    ),
    "zero": layers.Zero,
}


def learned(make, function, training):
    """Return output, gradients and state of function(layer, weight, x)."""
    keras.utils.set_random_seed(0)
    layer = make()
    layer.build(X.shape)
    weight, x = tf.Variable(0.3), tf.Variable(X)
    with tf.GradientTape() as tape:
        y = function(layer, weight, x, training=training)
        loss = tf.reduce_sum(y * SLOPES[: y.shape[1], : y.shape[2]])
    variables = [weight, x, *(v.value for v in layer.trainable_variables)]
    gradients = tape.gradient(
        loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return [y, *gradients, *layer.get_weights()]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", WEIGHTED)
def test_weighted_is_the_weight_times_the_layer(kind, training):
    """Gradients are sums of some 32 terms below ten in float32."""

    def plain(layer, weight, x, training):
        return weight * layer(x, training=training)

    make = WEIGHTED[kind]
    results = learned(make, weighted, training)
    expected = learned(make, plain, training)
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_the_last_batch_norm_takes_the_weight_in_training(monkeypatch):
    given = []
    monkeypatch.setattr(
        layers.FusedBatchNormalization,
        "_fused",
        lambda self, x, weight: given.append(weight) or x,
    )
    for kind in ("batch norm", "factorized reduce", "sequential"):
        weighted(WEIGHTED[kind](), tf.constant(0.3), X, training=True)
    assert [float(weight) for weight in given] == pytest.approx([0.3] * 3)


def test_weighted_gives_the_dtype_of_the_weight():
    layer = layers.FusedBatchNormalization(dtype="mixed_bfloat16")
    for training in (False, True):
        y = weighted(layer, tf.constant(0.3), X, training=training)
        assert y.dtype == "float32"


SIX = np.random.default_rng(3).normal(size=(2, 6, 8, 3)).astype("float32")


def separable(cls, size=3, **options):
    keras.utils.set_random_seed(0)
    options = {"dilation_rate": 2, "padding": "same", **options}
    layer = cls(4, size, **{"use_bias": False, **options})
    layer.build(SIX.shape)
    return layer


@pytest.mark.parametrize("size", [3, 5])
def test_dilation_by_phases_gives_the_numbers_of_keras(size):
    """Sums of up to 75 terms below five, and gradients of 96, in float32."""
    results = []
    for cls in (layers.PhasedSeparableConv2D, KL.SeparableConv2D):
        layer, x = separable(cls, size), tf.Variable(SIX)
        with tf.GradientTape() as tape:
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        variables = [x, *(v.value for v in layer.trainable_variables)]
        results.append([y, *tape.gradient(loss, variables)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_phases_are_every_second_pixel_and_are_joined_again():
    phases = _separable_conv._phases(SIX)
    np.testing.assert_array_equal(phases[2:4], SIX[:, ::2, 1::2])
    np.testing.assert_array_equal(_separable_conv._joined(phases, 6, 8), SIX)


@pytest.mark.parametrize(
    ("options", "training", "is_called"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"dilation_rate": 1}, True, False),
        ({"dilation_rate": 3}, True, False),
        ({"padding": "valid"}, True, False),
        ({"use_bias": True}, True, False),
        ({"activation": "relu"}, True, False),
    ],
)
def test_phases_are_used_where_they_apply(
    monkeypatch, options, training, is_called
):
    calls = []
    phases = _separable_conv._phases
    monkeypatch.setattr(
        "snas_keras.layers._separable_conv._phases",
        lambda x: calls.append(1) or phases(x),
    )
    ours, stock = (
        separable(cls, **options)
        for cls in (layers.PhasedSeparableConv2D, KL.SeparableConv2D)
    )
    np.testing.assert_allclose(
        ours(SIX, training=training), stock(SIX), atol=1e-5
    )
    assert bool(calls) == is_called


def test_odd_sides_have_no_phases_of_equal_size():
    layer = separable(layers.PhasedSeparableConv2D)
    y = layer(SIX[:, :5], training=True)
    np.testing.assert_allclose(
        y, separable(KL.SeparableConv2D)(SIX[:, :5]), atol=1e-5
    )


def test_to_stock_of_a_separable_convolution_is_keras_own_class():
    stock = separable(layers.PhasedSeparableConv2D).to_stock()
    assert type(stock) is KL.SeparableConv2D
    assert stock.dilation_rate == (2, 2)


def test_an_own_layer_that_declares_it_takes_the_weight():
    class Doubled(keras.layers.Layer):
        takes_weight = True
        calls = 0

        def call(self, inputs, training=False, weight=1.0):
            Doubled.calls += tf.is_tensor(weight)
            return 2.0 * weight * inputs

    weight = tf.constant(0.5)
    for training, calls in ((False, 0), (True, 1)):
        y = weighted(Doubled(), weight, X, training)
        np.testing.assert_allclose(y, X, rtol=1e-6)
        assert Doubled.calls == calls
