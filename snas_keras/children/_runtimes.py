"""Interpreters of exported files, for the comparison with the model."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Run = Callable[[Any], Any]


def litert(path: Any, names: list[str]) -> Run:
    """Load a LiteRT file.

    Args:
        path: path of the file.
        names: list of str, of the model's inputs in its order.

    Returns:
        function (inputs) -> {output name: array}.
    """
    interpreter = tf.lite.Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner("serving_default")
    keys = _keys(names, sorted(runner.get_input_details()))

    def run(inputs):
        tensors = keras.tree.flatten(inputs)
        return runner(**dict(zip(keys, tensors, strict=True)))

    return run


def _keys(names, keys):
    """Return the file's names of the inputs, in the model's order."""
    return names if set(names) == set(keys) else keys


def onnx_runtime() -> Any:
    """Return the module onnxruntime, or raise ImportError with the extra."""
    try:
        import onnx  # noqa: F401, Keras' exporter needs it
        import onnxruntime
        import tf2onnx  # noqa: F401, Keras' exporter needs it
    except ImportError as error:
        raise ImportError(
            "ONNX export needs more packages: pip install "
            f"'snas-keras[export]' ({error})"
        ) from error
    return onnxruntime


def onnx(session: Any, names: list[str]) -> Run:
    """Return what runs an ONNX file.

    Args:
        session: onnxruntime.InferenceSession.
        names: list of str, of the model's inputs in its order.

    Returns:
        function (inputs) -> {output name: array}.
    """
    keys = _keys(names, [x.name for x in session.get_inputs()])
    outputs = [x.name for x in session.get_outputs()]

    def run(inputs):
        arrays = [np.asarray(x) for x in keras.tree.flatten(inputs)]
        values = session.run(outputs, dict(zip(keys, arrays, strict=True)))
        return dict(zip(outputs, values, strict=True))

    return run
