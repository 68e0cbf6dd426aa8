"""Export of fixed networks, each proven by running what was written."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snas_keras._utils import files, keras_private
from snas_keras.children import _runtimes, _samples
from snas_keras.spaces import Genotype

# Of the size of an output, and the least size that is told from zero.
_TOLERANCE = 1e-4
_SMALL = 1e-2
# A number of eight or eleven bits is off by about so much.
_LOW_PRECISION = {"bfloat16": 2e-2, "float16": 2e-3}


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike[str],
    genotype: Genotype | None = None,
) -> float:
    """Write a SavedModel that TensorFlow serves without Keras or this library.

    It has the endpoint `serve` (and `serving_default`), takes any batch size
    that the model takes, and names its outputs: a dict of outputs by its keys,
    others by their layers. It is loaded again and compared with the model on
    random inputs before it appears under its path.

    Args:
        model: keras.Model, built, e.g. from `convert` or `build_child`.
        path: directory to write; one that is there is replaced.
        genotype: Genotype, saved inside as genotype.json, default None.

    Returns:
        float, the largest difference to the model's own outputs.

    Raises:
        TypeError: `model` is no keras.Model with inputs and outputs.
        RuntimeError: it cannot be written, or an output differs by more than
            1e-4 of its size or the precision that the layers compute in.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> child = snas_keras.build_child(space, space.random_genotype(0))
    >>> directory = tempfile.mkdtemp()
    >>> export_saved_model(child, directory + "/served") < 1e-4
    True
    """
    served = _served(model)

    def serve(inputs):
        return served(inputs, training=False)

    with files.replacing(path) as temporary:
        with _explained("a SavedModel", model):
            archive = keras.export.ExportArchive()
            archive.track(served)
            keras_private.keep_when_loaded(archive)
            archive.add_endpoint("serve", serve, _signature(served))
            archive.write_out(str(temporary), verbose=False)
            if genotype is not None:
                genotype.save(temporary / "genotype.json")
            loaded = tf.saved_model.load(str(temporary))
            return _compare(path, served, loaded.serve)


def export_litert(model: keras.Model, path: str | os.PathLike[str]) -> float:
    """Write a LiteRT file (.tflite) for phones and small devices.

    Inputs and outputs have names, as in `export_saved_model`. The file is
    compared with the model on random inputs by TensorFlow's interpreter, which
    has LiteRT's built-in operations alone.

    Args:
        model: keras.Model, built.
        path: file to write, ending in ".tflite".

    Returns:
        float, the largest difference to the model's own outputs.

    Raises:
        TypeError: `model` is no keras.Model with inputs and outputs.
        ValueError: the path's ending, or a model that cannot be called on
            random inputs.
        RuntimeError: it cannot be written, or an output differs by more than
            1e-4 of its size or the precision that the layers compute in.
    """
    _check_suffix(path, ".tflite")
    return _export(model, path, "litert", "a LiteRT file", _runtimes.litert)


def export_onnx(model: keras.Model, path: str | os.PathLike[str]) -> float:
    """Write an ONNX file. Needs the extra: pip install "snas-keras[export]".

    Inputs and outputs have names, as in `export_saved_model`. The file is
    compared with the model on random inputs by onnxruntime.

    Args:
        model: keras.Model, built.
        path: file to write, ending in ".onnx".

    Returns:
        float, the largest difference to the model's own outputs.

    Raises:
        ImportError: the extra is not installed.
        TypeError: `model` is no keras.Model with inputs and outputs.
        ValueError: the path's ending, or a model that cannot be called on
            random inputs.
        RuntimeError: it cannot be written, or an output differs by more than
            1e-4 of its size or the precision that the layers compute in.
    """
    _check_suffix(path, ".onnx")
    runtime = _runtimes.onnx_runtime()

    def load(path, names):
        return _runtimes.onnx(runtime.InferenceSession(str(path)), names)

    return _export(model, path, "onnx", "an ONNX file", load)


def _export(model, path, kind, article, load):
    """Write a file by Keras' exporter, load and compare it."""
    served = _served(model)
    with files.replacing(path) as temporary:
        with _explained(article, model):
            served.export(
                str(temporary),
                format=kind,
                verbose=False,
                input_signature=_signature(served),
            )
            names = [x.name for x in keras.tree.flatten(served.input)]
            # What the format's own operations cannot do shows in the run.
            return _compare(path, served, load(temporary, names))


def _check_suffix(path, suffix):
    if not str(path).endswith(suffix):
        raise ValueError(f"`path` must end in {suffix!r}. Received: {path}")


def _served(model):
    """Return the model with a dict of outputs under the names they have."""
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", 0):
        raise TypeError(
            "`model` must be a keras.Model with inputs and outputs, functional "
            f"or a built Sequential. Received: {model!r}"
        )
    is_chain = isinstance(model, keras.Sequential)
    inputs = model.inputs[0] if is_chain else model.input
    outputs = dict(zip(_output_names(model), model.outputs, strict=True))
    return keras.Model(inputs, outputs, name=model.name)


def _output_names(model):
    """Return the keys of a dict of outputs, else the layers' names, once each.

    One layer may make several outputs.
    """
    outputs = getattr(model, "output", None)
    is_dict = isinstance(outputs, dict)
    if is_dict and len(outputs) == len(model.outputs):
        return keras.tree.flatten({key: key for key in outputs})
    names = []
    for name in getattr(model, "output_names", ["output"]):
        again = sum(n.partition("/")[0] == name for n in names)
        names.append(f"{name}/{again}" if again else name)
    return names


def _signature(model):
    spec = keras.tree.map_structure(
        lambda x: keras.InputSpec(shape=x.shape, dtype=x.dtype, name=x.name),
        model.input,
    )
    return [spec]


class _OtherOutputsError(RuntimeError):
    """What was written answers otherwise than the model."""


@contextlib.contextmanager
def _explained(article, model) -> Iterator[None]:
    """Say what to do, in Keras' terms, where an exporter cannot."""
    try:
        yield
    except (_OtherOutputsError, _samples.NothingToCompareError):
        raise
    except Exception as error:
        raise RuntimeError(
            f"The model cannot be written as {article}. {_remedy(model)} "
            f"Nothing was written. {type(error).__name__}: {error}"
        ) from error


def _remedy(model):
    layers = model._flatten_layers()
    recurrent = [
        x.name
        for x in layers
        if isinstance(x, (keras.layers.RNN, keras.layers.Bidirectional))
    ]
    if recurrent:
        return (
            f"Its recurrent layers {recurrent} need `unroll=True` and a known "
            "length, or all inputs a fixed batch, keras.Input(..., "
            "batch_size=1)."
        )
    if any(x.dtype == "string" for x in model.inputs):
        return (
            "It has inputs of strings: export_saved_model takes them; else "
            "export a model that begins behind the lookup, and look up before."
        )
    tables = [x.name for x in layers if hasattr(x, "save_assets")]
    if tables:
        return (
            f"Its layers {tables} look up in tables: export_saved_model has "
            "them; else export a model that begins behind them."
        )
    precisions = {getattr(x, "compute_dtype", None) for x in layers}
    if precisions & {*_LOW_PRECISION}:
        return (
            "Its layers compute in half precision, which the format may lack: "
            "build the child anew under keras.config.set_dtype_policy("
            '"float32") and give it the weights by `set_weights`.'
        )
    return (
        "Names of inputs must be letters, digits and '_', and its layers of "
        "operations that the format has; export_saved_model has them all."
    )


def _compare(path, model, run: Callable[[Any], Any]) -> float:
    """Return the largest difference over two batch sizes, or raise."""
    differences, names = [0.0], _output_names(model)
    answer = _answer_of(model)
    side = _samples.accepted_side(model.input, answer)
    for inputs in _samples.batches(model.input, side):
        expected = keras.tree.flatten(answer(inputs))
        found = run(inputs)
        for place, (name, value) in enumerate(
            zip(names, expected, strict=True)
        ):
            other = found[name] if isinstance(found, dict) else found[place]
            differences.append(_difference(path, model, name, value, other))
    return max(differences)


def _difference(path, model, name, value, other):
    """Return the largest difference in one output, or refuse it."""
    value, other = (np.asarray(x) for x in (value, other))
    if value.dtype.kind in "OSU":
        difference, allowed = float(not np.array_equal(value, other)), 0.0
    else:
        value, other = (np.float64(x) for x in (value, other))
        difference = float(np.max(np.abs(value - other), initial=0.0))
        size = float(np.max(np.abs(value), initial=_SMALL))
        allowed = _tolerance(model) * size
    if not difference <= allowed < np.inf or value.shape != other.shape:
        raise _OtherOutputsError(
            f"The export to {path} gives other outputs than the model, or "
            f"none that are numbers: in {name!r} the largest difference is "
            f"{difference}, allowed is {allowed}. Nothing was written."
        )
    return difference


def _tolerance(model):
    found = {
        _LOW_PRECISION.get(layer.compute_dtype, _TOLERANCE)
        for layer in model._flatten_layers()
    }
    return max(found)


def _answer_of(model):
    """Return a function (inputs) -> outputs that leaves states as they are.

    It is run as a graph, as `predict` does: resizing integers, for one, rounds
    in eager calls alone.
    """

    def answer(inputs):
        with keras.StatelessScope():
            return model(inputs, training=False)

    return tf.function(answer, autograph=False)
