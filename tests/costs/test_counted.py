"""Costs of layers, counted by hand."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from snas_keras import costs, layers, spaces
from snas_keras.layers import _pooling
from snas_keras.spaces import _operations

KL = keras.layers
IMAGE = (None, 8, 8, 4)

# (parameters, flops, memory access) of the published code's formulas. With h
# the input side, y the output side, C channels, k the kernel side:
#   pools      0,               9 y y C,         2 y y C; stride 2: 5 y y C
#   skip       0,               0,               2 C h h
#   reduce     C C,             size y y,        2 y y (4 C + C / 2) + size
#   sep        2 C k k + 2 C C, size y y,        8 C y y + size; stride 2: 11 C
#   dil        C k k + C C,     size y y,        4 C y y + size; stride 2: 7 C
PUBLISHED = {
    (16, 32, 1): {
        "none": (0, 0, 0),
        "max_pool_3x3": (0, 147456, 32768),
        "avg_pool_3x3": (0, 147456, 32768),
        "skip_connect": (0, 0, 32768),
        "sep_conv_3x3": (800, 819200, 131872),
        "sep_conv_5x5": (1312, 1343488, 132384),
        "dil_conv_3x3": (400, 409600, 65936),
        "dil_conv_5x5": (656, 671744, 66192),
    },
    (32, 32, 2): {
        "none": (0, 0, 0),
        "max_pool_3x3": (0, 73728, 40960),
        "avg_pool_3x3": (0, 73728, 40960),
        "skip_connect": (1024, 262144, 74752),
        "sep_conv_3x3": (2624, 671744, 92736),
        "sep_conv_5x5": (3648, 933888, 93760),
        "dil_conv_3x3": (1312, 335872, 58656),
        "dil_conv_5x5": (1824, 466944, 59168),
    },
    (64, 8, 1): {
        "none": (0, 0, 0),
        "max_pool_3x3": (0, 36864, 8192),
        "avg_pool_3x3": (0, 36864, 8192),
        "skip_connect": (0, 0, 8192),
        "sep_conv_3x3": (9344, 598016, 42112),
        "sep_conv_5x5": (11392, 729088, 44160),
        "dil_conv_3x3": (4672, 299008, 21056),
        "dil_conv_5x5": (5696, 364544, 22080),
    },
}
COST_NAMES = ["parameters", "flops", "memory_access"]


@pytest.mark.parametrize(
    ("place", "operation"),
    [(place, name) for place, table in PUBLISHED.items() for name in table],
)
def test_operation_costs_what_the_published_code_says(place, operation):
    channels, side, strides = place
    layer = _operations.get(operation)(channels, strides, affine=False)
    shape = (None, side, side, channels)
    layer.build(shape)
    found = [costs.COSTS[name](layer, shape) for name in COST_NAMES]
    assert found == list(PUBLISHED[place][operation])


@pytest.mark.parametrize("operation", spaces.OPERATIONS)
@pytest.mark.parametrize("strides", [1, 2])
def test_parameters_are_what_keras_counts(operation, strides):
    """`count_params()` without the moving statistics."""
    layer = _operations.get(operation)(4, strides)
    layer.build(IMAGE)
    fixed = sum(np.prod(v.shape) for v in layer.non_trainable_variables)
    found = costs.parameters(layer, IMAGE)
    assert found == layer.count_params() - fixed


@pytest.mark.parametrize("operation", spaces.OPERATIONS)
def test_affine_batch_norm_adds_no_multiply_adds(operation):
    for strides in (1, 2):
        plain, affine = (
            _operations.get(operation)(4, strides, affine=flag)
            for flag in (False, True)
        )
        plain.build(IMAGE)
        affine.build(IMAGE)
        assert costs.flops(plain, IMAGE) == costs.flops(affine, IMAGE)


# layer, input shape, flops, memory access. Outputs, flops, then reads, writes
# and parameters:
BY_HAND = {
    # 4 x 4 x 6 outputs of 3 x 3 x (4 / 2) products;
    # 256 in, 96 out, 18 x 6 kernel, 6 bias
    "grouped_conv_2d": (
        KL.Conv2D(6, 3, 2, padding="same", groups=2),
        IMAGE,
        96 * 18,
        256 + 96 + 108 + 6,
    ),
    # 8 x 6 outputs of 3 x 4 products; 40 in, 48 out, 72 kernel
    "conv_1d": (
        KL.Conv1D(6, 3, use_bias=False),
        (None, 10, 4),
        48 * 12,
        40 + 48 + 72,
    ),
    # 3 x 3 x 3 x 3 outputs of 2 x 2 x 2 x 2 products; 128 in, 81 out
    "conv_3d": (
        KL.Conv3D(3, 2, use_bias=False),
        (None, 4, 4, 4, 2),
        81 * 16,
        128 + 81 + 48,
    ),
    # every one of 256 inputs meets 2 x 2 x 3 kernel numbers;
    # 16 x 16 x 3 out, 48 kernel, 3 bias
    "conv_2d_transpose": (
        KL.Conv2DTranspose(3, 2, 2),
        IMAGE,
        256 * 12,
        256 + 768 + 48 + 3,
    ),
    # 8 x 8 x (4 x 2) outputs of 5 x 5 products
    "depthwise_conv_2d": (
        KL.DepthwiseConv2D(
            5, padding="same", depth_multiplier=2, use_bias=False
        ),
        IMAGE,
        512 * 25,
        256 + 512 + 200,
    ),
    # 64 pixels of 3 x 3 x 4 and 4 x 6 products; two kernels: 256 in, 256
    # between, which is written and read, 384 out
    "separable_conv_2d": (
        KL.SeparableConv2D(6, 3, padding="same", use_bias=False),
        IMAGE,
        64 * (36 + 24),
        256 + 2 * 256 + 384 + 36 + 24,
    ),
    # 5 rows of 7 x 10 products; 35 in, 50 out, 70 kernel, 10 bias
    "dense": (KL.Dense(10), (None, 5, 7), 350, 35 + 50 + 80),
    # 4 x 4 x 4 outputs of 2 x 2 additions
    "average_pooling_2d": (
        KL.AveragePooling2D(2),
        IMAGE,
        64 * 4,
        256 + 64,
    ),
    # one addition for each input
    "global_average_pooling_2d": (
        KL.GlobalAveragePooling2D(),
        IMAGE,
        256,
        256 + 4,
    ),
    # a look-up multiplies nothing; the table is counted as read
    "embedding": (KL.Embedding(10, 3), (None, 5), 0, 5 + 15 + 30),
    "batch_norm": (KL.BatchNormalization(), IMAGE, 0, 0),
    "identity": (KL.Identity(), IMAGE, 0, 512),
    "relu": (KL.ReLU(), IMAGE, 0, 0),
    "symmetric_pooling": (
        layers.SymmetricPooling2D("max", 3, 2),
        IMAGE,
        64 * 9,
        256 + 64,
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_costs_are_the_hand_count(name):
    layer, shape, flops, access = BY_HAND[name]
    layer.build(shape)
    assert costs.flops(layer, shape) == flops
    assert costs.memory_access(layer, shape) == access


def test_the_batch_size_does_not_matter():
    layer = KL.Conv2D(6, 3)
    layer.build(IMAGE)
    assert costs.flops(layer, (32, *IMAGE[1:])) == costs.flops(layer, IMAGE)


class Unknown(KL.Layer):
    """Computes with what Keras cannot trace."""

    def call(self, inputs):
        return tf.linalg.inv(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("cost", ["flops", "memory_access"])
def test_an_unknown_layer_is_refused_with_the_way_to_teach_it(cost):
    layer = Unknown(name="mine")
    message = (
        rf"(?s){cost}' does not know layers of type Unknown \(layer 'mine'\), "
        rf"and its `call` cannot be traced: .*Teach it:\n\n    "
        rf"@snas_keras.costs.{cost}.register\(Unknown\)\n    def _\(layer, "
    )
    with pytest.raises(TypeError, match=message):
        costs.COSTS[cost](layer, IMAGE)


def test_a_layer_inside_a_model_that_is_unknown_is_named():
    model = keras.Sequential([keras.Input(IMAGE[1:]), Unknown(name="inner")])
    with pytest.raises(TypeError, match="layer 'inner'"):
        costs.flops(model, IMAGE)


@pytest.mark.parametrize("cost", ["flops", "memory_access"])
def test_a_layer_can_be_taught(cost):
    class Taught(Unknown):
        pass

    @costs.COSTS[cost].register(Taught)
    def _(layer, input_shape):
        return 2.0 * input_shape[-1]

    model = keras.Sequential([keras.Input(IMAGE[1:]), Taught()])
    assert costs.COSTS[cost](model, IMAGE) == 8.0


def test_a_subclass_costs_what_its_parent_costs():
    class MyConv(KL.Conv2D):
        pass

    layer = MyConv(6, 1, use_bias=False)
    layer.build(IMAGE)
    assert costs.flops(layer, IMAGE) == 64 * 4 * 6


def _sequential():
    return keras.Sequential(
        [
            KL.Conv2D(4, 3, padding="same", use_bias=False),
            KL.ReLU(),
            KL.Conv2D(4, 1, use_bias=False),
        ]
    )


FLOPS = 256 * 36 + 256 * 4
ACCESS = (512 + 144) + (512 + 16)


def test_a_sequential_model_costs_the_sum_of_its_layers():
    model = _sequential()
    model.build(IMAGE)
    assert costs.parameters(model, IMAGE) == 144 + 16
    assert costs.flops(model, IMAGE) == FLOPS
    assert costs.memory_access(model, IMAGE) == ACCESS


def test_a_nested_sequential_model_costs_the_sum_of_its_layers():
    model = keras.Sequential([KL.Identity(), _sequential(), KL.Flatten()])
    model.build(IMAGE)
    assert costs.flops(model, IMAGE) == FLOPS
    assert costs.memory_access(model, IMAGE) == 512 + ACCESS


def test_a_functional_model_costs_the_sum_of_its_calls():
    """A layer that is called twice costs twice, but has its weights once; a
    model inside a model counts; additions are free."""
    inputs = keras.Input(IMAGE[1:])
    inner = _sequential()
    x = inner(inner(inputs))
    model = keras.Model(inputs, KL.Add()([x, inputs]) + inputs)
    assert costs.parameters(model, IMAGE) == 144 + 16
    assert costs.flops(model, IMAGE) == 2 * FLOPS
    assert costs.memory_access(model, IMAGE) == 2 * ACCESS


def test_a_functional_model_is_counted_at_the_shape_asked_for():
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, KL.Conv2D(4, 1, use_bias=False)(inputs))
    assert costs.flops(model, IMAGE) == 256 * 4
    assert costs.flops(model, (None, 4, 4, 4)) == 64 * 4


def test_a_functional_model_with_two_inputs_is_counted():
    a, b = keras.Input((3,)), keras.Input((5,))
    x = KL.Dense(2)(KL.Concatenate()([a, b]))
    model = keras.Model([a, b], x)
    assert costs.flops(model, [(None, 3), (None, 5)]) == 16


def test_counting_leaves_the_model_as_it_was():
    model = keras.Sequential([keras.Input(IMAGE[1:]), *_sequential().layers])
    outer = keras.Model(model.inputs, model.outputs)
    before = outer.get_weights()
    names = [layer.name for layer in outer.layers]
    costs.flops(outer, IMAGE)
    assert [layer.name for layer in outer.layers] == names
    for a, b in zip(outer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_reads_a_view_is_charged_with_what_the_view_reads():
    """Subsampling moves nothing itself: the 1 x 1 convolution behind it reads
    all 256 numbers, and writes 64 with a kernel of 16."""
    model = keras.Sequential(
        [_pooling.subsampling(2), KL.Conv2D(4, 1, use_bias=False)]
    )
    model.build(IMAGE)
    assert costs.memory_access(model, IMAGE) == 256 + 64 + 16


def test_padding_is_not_charged():
    """The convolution behind it reads the 256 numbers that there are."""
    model = keras.Sequential(
        [KL.ZeroPadding2D(1), KL.Conv2D(4, 3, use_bias=False)]
    )
    model.build(IMAGE)
    assert costs.memory_access(model, IMAGE) == 256 + 256 + 144


@pytest.mark.parametrize("cost", ["flops", "memory_access"])
def test_an_unknown_raw_operation_is_refused_and_taught_by_name(
    monkeypatch, cost
):
    inputs = keras.Input((3, 3))
    model = keras.Model(inputs, keras.ops.inv(inputs), name="outer")
    message = r'Inside layer \'outer\': .*operation Inv.*\.register\("Inv"\)'
    with pytest.raises(TypeError, match=f"(?s){message}"):
        costs.COSTS[cost](model, (None, 3, 3))
    known = costs.COSTS[cost]
    monkeypatch.setattr(known, "_operation_rules", dict(known._operation_rules))
    known.register("Inv")(lambda operation, shape: np.prod(shape))
    assert known(model, (None, 3, 3)) == 9.0


def test_shapes_that_are_not_fixed_are_refused():
    layer = KL.Conv2D(4, 1)
    layer.build(IMAGE)
    message = r"fixed shapes.*Received: shape=\(None, None, None, 4\)"
    with pytest.raises(ValueError, match=message):
        costs.flops(layer, (None, None, None, 4))


@pytest.mark.parametrize("name", COST_NAMES)
def test_copies_of_a_cost_are_the_cost_itself(name):
    """A tuner copies what it is given, and a resource is saved by the name."""
    cost = costs.COSTS[name]
    assert copy.deepcopy(cost) is cost
    assert copy.copy(cost) is cost
    assert pickle.loads(pickle.dumps(cost)) is cost


def test_get_looks_up_names_and_returns_functions():
    assert costs.get("flops") is costs.flops
    assert costs.get(len) is len


def test_an_unknown_name_is_refused_with_the_known_ones():
    message = "Received: cost='watts'. Allowed:.*flops.*memory_access"
    with pytest.raises(ValueError, match=message):
        costs.get("watts")
