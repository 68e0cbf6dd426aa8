"""Exports, loaded by what will serve them."""

import importlib.util
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import children as children_lib
from tests.processes import run


@pytest.fixture
def child(tiny_space):
    return snas_keras.build_child(tiny_space, tiny_space.random_genotype(3))


def test_saved_model_serves_any_batch_size_with_named_outputs(
    tmp_path, child, tiny_space, images
):
    genotype = tiny_space.random_genotype(3)
    path = tmp_path / "served"
    difference = snas_keras.export_saved_model(child, path, genotype)
    assert difference < 1e-5
    served = tf.saved_model.load(str(path))
    for size in (1, 5):
        outputs = served.serve(tf.constant(images[0][:size]))
        assert list(outputs) == ["classes"]
        wanted = child(images[0][:size])
        np.testing.assert_allclose(outputs["classes"], wanted, atol=1e-5)
    assert snas_keras.Genotype.load(path / "genotype.json") == genotype


def test_saved_model_loads_with_tensorflow_alone(tmp_path, child):
    """No Keras, no snas_keras; and no random operation in the graph."""
    snas_keras.export_saved_model(child, tmp_path / "served")
    (tmp_path / "serve.py").write_text(
        "import sys\n"
        "sys.modules['snas_keras'] = sys.modules['keras'] = None\n"
        "import tensorflow as tf\n"
        "served = tf.saved_model.load(sys.argv[1])\n"
        "signature = served.signatures['serving_default']\n"
        "print(sorted(signature.structured_outputs))\n"
        "print(signature(image=tf.ones((2, 4, 4, 2)))['classes'].shape)\n"
        "kinds = {n.op for f in signature.graph.as_graph_def().library.function"
        " for n in f.node_def}\n"
        "print('random', sorted(k for k in kinds if 'Random' in k))\n"
    )
    done = run(tmp_path / "serve.py", tmp_path / "served")
    assert done.stdout.splitlines()[-3:] == [
        "['classes']",
        "(2, 3)",
        "random []",
    ]


def test_several_outputs_are_served_under_their_keys(tmp_path):
    a = keras.Input((3,), name="a")
    outputs = {
        "first": keras.layers.Dense(2, name="x")(a),
        "second": keras.layers.Dense(1, name="y")(a),
    }
    model = keras.Model(a, outputs)
    snas_keras.export_saved_model(model, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    assert sorted(served.serve(tf.ones((4, 3)))) == ["first", "second"]


def test_an_export_replaces_an_older_one_whole(tmp_path, child):
    path = tmp_path / "served"
    snas_keras.export_saved_model(child, path)
    (path / "stale").write_text("old")
    snas_keras.export_saved_model(child, path)
    assert not (path / "stale").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["served"]


def test_a_wrong_export_is_refused_and_not_written(
    tmp_path, child, monkeypatch
):
    """The loaded model is made to answer something else."""
    load = tf.saved_model.load

    def wrong(path):
        served = load(path)
        serve = served.serve
        served.serve = lambda x: {k: v + 0.1 for k, v in serve(x).items()}
        return served

    monkeypatch.setattr(tf.saved_model, "load", wrong)
    with pytest.raises(RuntimeError, match="largest difference is 0.1"):
        snas_keras.export_saved_model(child, tmp_path / "served")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_litert_gives_the_same_outputs(tmp_path, child):
    path = tmp_path / "child.tflite"
    assert snas_keras.export_litert(child, path) < 1e-5
    assert path.stat().st_size > 500


@pytest.mark.skipif(
    importlib.util.find_spec("tf2onnx") is None,
    reason="needs the extra `export`",
)
def test_onnx_gives_the_same_outputs(tmp_path, child):
    assert snas_keras.export_onnx(child, tmp_path / "child.onnx") < 1e-5


def test_missing_onnx_packages_name_the_extra(tmp_path, child, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"snas-keras\[export\]"):
        snas_keras.export_onnx(child, tmp_path / "child.onnx")


def test_bad_arguments_are_refused(tmp_path, child):
    with pytest.raises(TypeError, match="Received: 3"):
        snas_keras.export_saved_model(3, tmp_path / "a")
    with pytest.raises(ValueError, match="must end in '.tflite'"):
        snas_keras.export_litert(child, tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="must end in '.onnx'"):
        children_lib.export_onnx(child, tmp_path / "a.tflite")


def test_outputs_of_one_layer_are_served_one_by_one(tmp_path):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    head = keras.layers.Dense(1, name="head")
    model = keras.Model([a, b], [head(a), head(b)])
    assert snas_keras.export_saved_model(model, tmp_path / "served") < 1e-6
    served = tf.saved_model.load(str(tmp_path / "served"))
    found = served.serve([tf.ones((1, 3)), tf.zeros((1, 3))])
    assert sorted(found) == ["head", "head/1"]


def test_outputs_that_are_not_numbers_are_no_parity(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.set_weights([np.full((3, 2), np.nan), np.zeros(2)])
    with pytest.raises(RuntimeError, match="difference is nan"):
        snas_keras.export_saved_model(model, tmp_path / "served")
    assert not (tmp_path / "served").exists()


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter:UserWarning")
def test_large_outputs_are_compared_by_their_size(tmp_path):
    """The last digit of float32 at 300,000 is 0.03."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.set_weights([np.full((3, 2), 3e5), np.full(2, 3e5)])
    snas_keras.export_litert(model, tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").exists()
