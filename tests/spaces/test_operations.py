"""The candidate operations against the published structures.

The references are plain NumPy, over windows of an explicitly padded input.
"""

import math

import keras
import numpy as np
import pytest

from snas_keras import layers, spaces
from snas_keras.spaces import _operations

KL = keras.layers
OPERATIONS = spaces.OPERATIONS
C = 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 8, 8, C)).astype("float32")
# Sums of at most 25 * 16 float32 products of size one, twice batch normed.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def built(name, strides=1, affine=True, filters=C):
    """Return the layer with weights that no initializer would give."""
    layer = OPERATIONS[name](filters, strides, affine)
    layer(np.zeros((1, 8, 8, filters), "float32"))
    generator = np.random.default_rng(1)
    layer.set_weights(
        [
            generator.uniform(0.5, 1.5, w.shape) * generator.choice([1, -1])
            if w.ndim == 4
            else generator.uniform(0.5, 1.5, w.shape)
            for w in layer.get_weights()
        ]
    )
    return layer


def windows(x, size, strides, dilation=1, fill=0.0):
    """Return the windows centred on the pixels 0, strides, 2 strides, ...

    Shape (batch, height / strides, width / strides, channels, size, size).
    """
    reach = dilation * (size - 1)
    side = (reach // 2, reach // 2)
    padded = np.pad(
        x, [(0, 0), side, side, (0, 0)], constant_values=fill
    ).astype("float64")
    view = np.lib.stride_tricks.sliding_window_view(
        padded, (reach + 1, reach + 1), axis=(1, 2)
    )
    return view[:, ::strides, ::strides, :, ::dilation, ::dilation]


def conv(x, kernel, strides=1):
    """Kernel (size, size, channels, filters)."""
    seen = windows(x, len(kernel), strides)
    return np.einsum("nhwcij,ijcf->nhwf", seen, kernel)


def depthwise(x, kernel, strides=1, dilation=1):
    """Kernel (size, size, channels, 1)."""
    seen = windows(x, len(kernel), strides, dilation)
    return np.einsum("nhwcij,ijc->nhwc", seen, kernel[..., 0])


def relu(x):
    return np.maximum(x, 0)


def normed(x, gamma, beta, mean, variance):
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def kinds(layer):
    return [type(x).__name__ for x in layer.layers]


def norms_of(layer):
    return [
        x
        for x in layer._flatten_layers()
        if isinstance(x, KL.BatchNormalization)
    ]


@pytest.mark.parametrize(
    ("name", "strides", "sequence"),
    [
        ("max_pool_3x3", 1, "SymmetricPooling2D BatchNormalization"),
        ("max_pool_3x3", 2, "SymmetricPooling2D BatchNormalization"),
        ("avg_pool_3x3", 1, "SymmetricPooling2D BatchNormalization"),
        ("avg_pool_3x3", 2, "SymmetricPooling2D BatchNormalization"),
        (
            "sep_conv_3x3",
            1,
            "ReLU SeparableConv2D BatchNormalization "
            "ReLU SeparableConv2D BatchNormalization",
        ),
        (
            "sep_conv_5x5",
            2,
            "ReLU ZeroPadding2D SeparableConv2D BatchNormalization "
            "ReLU SeparableConv2D BatchNormalization",
        ),
        ("dil_conv_3x3", 1, "ReLU SeparableConv2D BatchNormalization"),
        (
            "dil_conv_5x5",
            2,
            "ReLU MaxPooling2D SeparableConv2D BatchNormalization",
        ),
        ("nor_conv_1x1", 1, "ReLU Conv2D BatchNormalization"),
        ("nor_conv_1x1", 2, "ReLU Conv2D BatchNormalization"),
        ("nor_conv_3x3", 2, "ReLU ZeroPadding2D Conv2D BatchNormalization"),
    ],
)
def test_structure_is_the_published_sequence(name, strides, sequence):
    assert kinds(OPERATIONS[name](C, strides)) == sequence.split()


def test_structure_of_the_operations_without_a_sequence():
    assert type(OPERATIONS["none"](C)) is layers.Zero
    assert type(OPERATIONS["skip_connect"](C)) is KL.Identity
    assert type(OPERATIONS["skip_connect"](C, 2)) is layers.FactorizedReduce
    for name in ("plain_max_pool_3x3", "plain_avg_pool_3x3"):
        assert type(OPERATIONS[name](C)) is layers.SymmetricPooling2D


# Numbers of kernel weights at the strides 1 and 2, and of batch norms.
KERNELS_AND_NORMS = {
    "none": (0, 0, 0),
    "max_pool_3x3": (0, 0, 1),
    "avg_pool_3x3": (0, 0, 1),
    "sep_conv_3x3": (2 * (9 * C + C * C), 2 * (9 * C + C * C), 2),
    "sep_conv_5x5": (2 * (25 * C + C * C), 2 * (25 * C + C * C), 2),
    "dil_conv_3x3": (9 * C + C * C, 9 * C + C * C, 1),
    "dil_conv_5x5": (25 * C + C * C, 25 * C + C * C, 1),
    "nor_conv_1x1": (C * C, C * C, 1),
    "nor_conv_3x3": (9 * C * C, 9 * C * C, 1),
    "plain_max_pool_3x3": (0, 0, 0),
    "plain_avg_pool_3x3": (0, 0, 0),
}


@pytest.mark.parametrize("name", [*KERNELS_AND_NORMS, "skip_connect"])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("affine", [True, False])
def test_number_of_parameters_is_the_formula(name, strides, affine):
    """Kernels k k C + C C for a separable, k k C C for a plain convolution,
    C C for a factorized reduce; 2 C for each batch norm that is affine."""
    skip = (0, C * C, strides - 1)
    *kernels, norms = KERNELS_AND_NORMS.get(name, skip)
    kernels = kernels[strides - 1]
    layer = built(name, strides, affine)
    trainable = sum(math.prod(v.shape) for v in layer.trainable_variables)
    assert trainable == kernels + (2 * C * norms if affine else 0)
    # Two moving statistics each.
    assert layer.count_params() == trainable + 2 * C * norms


@pytest.mark.parametrize("name", OPERATIONS)
def test_batch_norms_have_the_published_settings(name):
    for norm in norms_of(built(name, 2)):
        assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)
        assert norm.center
        assert norm.scale
    for norm in norms_of(built(name, 2, affine=False)):
        assert not norm.center
        assert not norm.scale


def test_no_convolution_has_a_bias():
    for name in OPERATIONS:
        for strides in (1, 2):
            for part in built(name, strides)._flatten_layers():
                assert not getattr(part, "use_bias", False), (name, part)


@pytest.mark.parametrize("strides", [1, 2])
def test_none_is_zero(strides):
    y = OPERATIONS["none"](C, strides)(X)
    np.testing.assert_array_equal(y, np.zeros_like(X[:, ::strides, ::strides]))


def test_skip_connect_is_the_identity():
    np.testing.assert_array_equal(OPERATIONS["skip_connect"](C)(X), X)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("strides", [1, 2])
def test_sep_conv_is_the_reference(size, strides):
    layer = built(f"sep_conv_{size}x{size}", strides)
    weights = layer.get_weights()
    y = X
    for step in (strides, 1):
        depth, point, *norm = weights[:6]
        weights = weights[6:]
        y = conv(depthwise(relu(y), depth, step), point)
        y = normed(y, *norm)
    np.testing.assert_allclose(layer(X), y, **TOLERANCE)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("strides", [1, 2])
def test_dil_conv_is_the_reference(size, strides):
    """Dilation 2 over size - 1 zeros of padding on every side."""
    layer = built(f"dil_conv_{size}x{size}", strides)
    depth, point, *norm = layer.get_weights()
    y = conv(depthwise(relu(X), depth, strides, dilation=2), point)
    np.testing.assert_allclose(layer(X), normed(y, *norm), **TOLERANCE)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("strides", [1, 2])
def test_nor_conv_is_the_reference(size, strides):
    layer = built(f"nor_conv_{size}x{size}", strides)
    kernel, *norm = layer.get_weights()
    y = normed(conv(relu(X), kernel, strides), *norm)
    np.testing.assert_allclose(layer(X), y, **TOLERANCE)


@pytest.mark.parametrize("strides", [1, 2])
def test_max_pool_is_the_reference(strides):
    layer = built("max_pool_3x3", strides)
    y = windows(X, 3, strides, fill=-np.inf).max((-2, -1))
    y = normed(y, *layer.get_weights())
    np.testing.assert_allclose(layer(X), y, **TOLERANCE)


@pytest.mark.parametrize("strides", [1, 2])
def test_padding_never_wins_a_maximum(strides):
    """Of inputs that are all negative no output is zero or above."""
    layer = _operations.max_pool(C, strides, size=3, norm=False)
    y = layer(-1 - np.abs(X)).numpy()
    assert y.max() <= -1
    assert np.isfinite(y).all()


@pytest.mark.parametrize("name", ["avg_pool_3x3", "plain_avg_pool_3x3"])
@pytest.mark.parametrize("strides", [1, 2])
def test_avg_pool_is_the_reference(name, strides):
    """The mean over what of the window lies inside the image."""
    layer = built(name, strides)
    y = np.nanmean(windows(X, 3, strides, fill=np.nan), (-2, -1))
    if name == "avg_pool_3x3":
        y = normed(y, *layer.get_weights())
    np.testing.assert_allclose(layer(X), y, **TOLERANCE)


@pytest.mark.parametrize("strides", [1, 2])
def test_padding_is_not_counted_in_an_average(strides):
    """The average of a constant is that constant, at the border too."""
    layer = OPERATIONS["plain_avg_pool_3x3"](C, strides)
    y = layer(np.full_like(X, 3.0))
    np.testing.assert_allclose(y, np.full(y.shape, 3.0), rtol=1e-6)


def test_factorized_reduce_sees_both_phases():
    """concat(conv(r[::2, ::2]), conv(r[1::2, 1::2])), r = relu(x)."""
    layer = built("skip_connect", 2)
    even, odd, *norm = weights_by_name(layer)
    r = relu(X)
    halves = [conv(r[:, ::2, ::2], even), conv(r[:, 1::2, 1::2], odd)]
    y = normed(np.concatenate(halves, -1), *norm)
    np.testing.assert_allclose(layer(X), y, **TOLERANCE)


def weights_by_name(layer):
    norm = layer.norm
    return [
        np.array(v)
        for v in (
            layer.even.kernel,
            layer.odd.kernel,
            norm.gamma,
            norm.beta,
            norm.moving_mean,
            norm.moving_variance,
        )
    ]


def test_stride_two_is_not_the_padding_of_tensorflow():
    """TensorFlow's "same" centres its windows on odd pixels; ours do not, so a
    single bright pixel at an even place stays in the middle of its window."""
    layer = OPERATIONS["nor_conv_3x3"](1, 2)
    image = np.zeros((1, 8, 8, 1), "float32")
    image[0, 4, 4] = 1.0
    layer(image)
    kernel = np.zeros((3, 3, 1, 1), "float32")
    kernel[1, 1] = 1.0
    layer.set_weights([kernel, *layer.get_weights()[1:]])
    y = layer(image).numpy()[0, :, :, 0]
    wanted = np.zeros((4, 4))
    wanted[2, 2] = 1 / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(y, wanted, atol=1e-6)


@pytest.mark.parametrize("operation", ["sep_conv", "dil_conv", "nor_conv"])
@pytest.mark.parametrize("filters", [0, -1, 1.5, True])
def test_bad_filters_are_refused(operation, filters):
    make = getattr(_operations, operation)
    message = f"`filters` must be a positive int. Received: filters={filters}"
    with pytest.raises(ValueError, match=message):
        make(filters, size=3)


def test_odd_filters_of_a_factorized_reduce_are_refused():
    with pytest.raises(ValueError, match="must be even. Received: filters=3"):
        _operations.skip_connect(3, strides=2)


@pytest.mark.parametrize("operation", ["max_pool", "avg_pool"])
def test_even_windows_are_refused(operation):
    with pytest.raises(ValueError, match="`size` must be odd.*size=2"):
        getattr(_operations, operation)(C, size=2)


def test_bad_strides_of_none_are_refused():
    with pytest.raises(ValueError, match="Received: strides=0"):
        _operations.none(C, strides=0)


def test_get_looks_up_names_and_returns_functions():
    assert _operations.get("none") is _operations.none
    assert _operations.get(_operations.skip_connect) is _operations.skip_connect


def test_an_unknown_name_is_refused_with_the_known_ones():
    message = "Received: operation='conv'. Allowed:.*'sep_conv_3x3'"
    with pytest.raises(ValueError, match=message):
        _operations.get("conv")
