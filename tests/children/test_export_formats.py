"""Exports of models of every kind, each format with its own names."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras.children import _export

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:.*object.*:FutureWarning"),
]
layers = keras.layers


def difference_of_two(kind):
    """Inputs of equal shape, of which no order but one is right."""
    a, b = keras.Input((4,), name="zeta"), keras.Input((4,), name="alpha")
    x = layers.Subtract()([a, b])
    inputs = [a, b] if kind is list else {"zeta": a, "alpha": b}
    heads = [layers.Dense(1 + k % 2, name=f"head_{k}")(x) for k in range(11)]
    return keras.Model(inputs, heads)


FORMATS = {
    "litert": (snas_keras.export_litert, "a.tflite"),
    "onnx": (snas_keras.export_onnx, "a.onnx"),
    "saved_model": (snas_keras.export_saved_model, "served"),
}


def export(kind, model, tmp_path):
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
    function, name = FORMATS[kind]
    return function(model, tmp_path / name)


def exported_or_refused(kind, model, tmp_path, allowed):
    """Return the message of a refusal, else nothing."""
    try:
        difference = export(kind, model, tmp_path)
    except RuntimeError as error:
        return str(error)
    assert difference < allowed
    return ""


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("form", FORMATS)
def test_many_inputs_and_outputs_each_have_their_own_values(
    tmp_path, form, kind
):
    assert export(form, difference_of_two(kind), tmp_path) < 1e-5


def test_a_litert_file_has_the_names_of_inputs_and_outputs(tmp_path):
    export("litert", difference_of_two(list), tmp_path)
    path = str(tmp_path / "a.tflite")
    runner = tf.lite.Interpreter(path).get_signature_runner()
    assert set(runner.get_input_details()) == {"zeta", "alpha"}
    heads = {f"head_{k}" for k in range(11)}
    assert set(runner.get_output_details()) == heads


@pytest.mark.parametrize("form", FORMATS)
def test_large_and_small_outputs_are_each_compared_by_their_size(
    tmp_path, form
):
    i = keras.Input((8,))
    x = layers.Dense(64, activation="relu")(i)
    price = layers.Rescaling(3e5, 3e5, name="price")(layers.Dense(1)(x))
    model = keras.Model(i, {"price": price, "kind": layers.Dense(2)(x)})
    export(form, model, tmp_path)
    assert any(tmp_path.iterdir())


def test_a_small_output_may_not_hide_behind_a_large_one():
    i = keras.Input((4,))
    large = layers.Rescaling(1e6, name="large")(i)
    model = keras.Model(i, [large, layers.Identity(name="small")(i)])

    def wrong(x):
        return {"large": 1e6 * x, "small": x + 0.01}

    with pytest.raises(RuntimeError, match="'small' the largest difference"):
        _export._compare("x", model, wrong)


def test_other_texts_are_other_outputs():
    i = keras.Input((1,), dtype="string")
    model = keras.Model(i, layers.Identity(dtype="string", name="y")(i))

    def wrong(x):
        return {"y": tf.strings.join([x, "!"])}

    with pytest.raises(RuntimeError, match="gives other outputs"):
        _export._compare("x", model, wrong)


def test_a_file_that_is_right_for_one_example_alone_is_refused():
    i = keras.Input((4,))
    model = keras.Model(i, layers.Identity(name="y")(i))

    def only_the_first(x):
        return {"y": tf.repeat(x[:1], len(x), 0)}

    with pytest.raises(RuntimeError, match="gives other outputs"):
        _export._compare("x", model, only_the_first)


def test_a_served_model_may_be_loaded_and_called_in_one_expression(tmp_path):
    i = keras.Input((4,))
    model = keras.Model(i, layers.Dense(2, name="score")(i))
    snas_keras.export_saved_model(model, tmp_path / "served")
    x = tf.ones((3, 4))
    y = tf.saved_model.load(str(tmp_path / "served")).serve(x)
    np.testing.assert_allclose(y["score"], model(x), rtol=1e-6)


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("form", FORMATS)
def test_a_fixed_batch_is_compared_on_that_batch(tmp_path, form, size):
    i = keras.Input((4,), batch_size=size)
    model = keras.Model(i, layers.Dense(2, name="score")(i))
    assert export(form, model, tmp_path) < 1e-5


@pytest.mark.parametrize("form", FORMATS)
def test_images_of_any_size_are_compared_on_one_that_fits(tmp_path, form):
    x = i = keras.Input((None, None, 3))
    for _ in range(3):
        x = layers.MaxPooling2D()(layers.Conv2D(4, 3)(x))
    model = keras.Model(i, layers.GlobalAveragePooling2D()(x))
    assert export(form, model, tmp_path) < 1e-5


def test_a_model_that_takes_no_random_inputs_is_refused_with_what_to_do(
    tmp_path,
):
    i = keras.Input((None,))
    model = keras.Model(i, layers.Reshape((7,))(i))
    with pytest.raises(ValueError, match=r"open sizes.*keras.Input\(shape"):
        snas_keras.export_saved_model(model, tmp_path / "served")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "Bidirectional"])
def test_recurrent_layers_are_refused_with_what_makes_them_pass(tmp_path, kind):
    def model(batch_size=None, **options):
        i = keras.Input((5, 4), batch_size=batch_size)
        if kind == "Bidirectional":
            layer = layers.Bidirectional(layers.LSTM(3, **options))
        else:
            layer = getattr(layers, kind)(3, **options)
        return keras.Model(i, layer(i))

    with pytest.raises(RuntimeError, match="`unroll=True`.*batch_size=1"):
        snas_keras.export_litert(model(), tmp_path / "a.tflite")
    assert list(tmp_path.iterdir()) == []
    unrolled = model(unroll=True)
    assert snas_keras.export_litert(unrolled, tmp_path / "a.tflite") < 1e-5
    fixed = model(batch_size=1)
    assert snas_keras.export_litert(fixed, tmp_path / "a.tflite") < 1e-5


def words():
    i = keras.Input((3,), dtype="string", name="words")
    lookup = layers.StringLookup(vocabulary=["a", "b"], output_mode="count")
    return keras.Model(i, layers.Dense(2)(lookup(i)))


def test_strings_are_served_by_a_saved_model(tmp_path):
    model = words()
    assert snas_keras.export_saved_model(model, tmp_path / "served") < 1e-5
    served = tf.saved_model.load(str(tmp_path / "served"))
    x = tf.constant([["a", "b", "b"]])
    [name] = model.output_names
    np.testing.assert_allclose(served.serve(x)[name], model(x), rtol=1e-6)


@pytest.mark.parametrize("form", ["litert", "onnx"])
def test_strings_are_exported_rightly_or_refused_with_what_to_do(
    tmp_path, form
):
    message = exported_or_refused(form, words(), tmp_path, 1e-5)
    assert message == "" or "export_saved_model takes them" in message


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
def test_half_precision_is_compared_by_its_rounding(tmp_path, form, policy):
    i = keras.Input((8,))
    x = layers.Dense(16, activation="relu", dtype=policy)(i)
    model = keras.Model(i, layers.Dense(2, dtype="float32")(x))
    message = exported_or_refused(form, model, tmp_path, 1e-2)
    assert message == "" or "cannot be written" in message


def test_the_outputs_of_a_stateful_layer_are_compared_from_one_state(tmp_path):
    i = keras.Input((3, 4), batch_size=2)
    layer = layers.GRU(3, stateful=True)
    model = keras.Model(i, layer(i))
    before = [np.array(state) for state in layer.states]
    assert snas_keras.export_saved_model(model, tmp_path / "served") < 1e-5
    for state, value in zip(layer.states, before, strict=True):
        np.testing.assert_array_equal(state, value)


@pytest.mark.parametrize("form", FORMATS)
def test_a_sequential_model_is_exported_too(tmp_path, form):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    assert export(form, model, tmp_path) < 1e-5


def test_a_model_without_a_graph_is_refused(tmp_path):
    with pytest.raises(TypeError, match="with inputs and outputs"):
        snas_keras.export_saved_model(keras.Sequential(), tmp_path / "a")


def test_integers_that_are_resized_are_compared_with_what_predict_gives(
    tmp_path,
):
    """Keras rounds what it resizes to integers again in eager calls alone."""

    def program(choose):
        inputs = keras.Input((8, 8, 1), dtype="uint8")
        x = keras.layers.Flatten()(keras.layers.Resizing(3, 3)(inputs))
        layers = {"dense": keras.layers.Dense(2)}
        return inputs, choose("block", layers)(x)

    space = snas_keras.search_space(program)()
    child = snas_keras.build_child(space, {"block": "dense"})
    assert snas_keras.export_saved_model(child, tmp_path / "served") < 1e-5


def conv_in_half():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(inputs)
    return keras.Model(inputs, layers.Flatten(dtype="float32")(x))


def looked_up():
    inputs = keras.Input((1,), dtype="int64")
    lookup = layers.IntegerLookup(vocabulary=[3, 5], output_mode="one_hot")
    return keras.Model(inputs, layers.Dense(2)(lookup(inputs)))


@pytest.mark.parametrize(
    ("make", "remedy"),
    [(conv_in_half, "set_dtype_policy"), (looked_up, "begins behind them")],
)
def test_what_litert_lacks_is_refused_with_what_makes_it_pass(
    tmp_path, make, remedy
):
    message = exported_or_refused("litert", make(), tmp_path, 1e-2)
    assert remedy in message
    assert not list(tmp_path.iterdir())
