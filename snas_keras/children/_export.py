"""Export of fixed networks, each proven by running what was written."""

import keras
import numpy as np
import tensorflow as tf

from snas_keras._utils import files

# Of the largest output, or of one where all are smaller.
_TOLERANCE = 1e-4
# A number of eight or eleven bits is off by about so much.
_LOW_PRECISION = {"bfloat16": 2e-2, "float16": 2e-3}


def export_saved_model(model, path, genotype=None):
    """Write a SavedModel that TensorFlow serves without Keras or this library.

    It has the endpoint `serve` (and `serving_default`), takes any batch size
    and names its outputs. It is loaded again and compared with the model before
    it appears under its path.

    Args:
        model: keras.Model, built, e.g. from `convert` or `build_child`.
        path: directory to write; one that is there is replaced.
        genotype: Genotype, saved inside as genotype.json, default None.

    Returns:
        float, the largest difference to the model's own outputs.

    Raises:
        TypeError: `model` is no keras.Model.
        RuntimeError: the outputs differ by more than 1e-4 of the largest, or by
            more than the precision that the layers compute in.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> child = snas_keras.build_child(space, space.random_genotype(0))
    >>> directory = tempfile.mkdtemp()
    >>> export_saved_model(child, directory + "/served") < 1e-4
    True
    """
    _check_model(model)
    with files.replacing(path) as temporary:
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", _named(model), _signature(model))
        archive.write_out(str(temporary), verbose=False)
        if genotype is not None:
            genotype.save(temporary / "genotype.json")
        served = tf.saved_model.load(str(temporary))
        difference = _compare(path, model, served.serve)
    return difference


def export_litert(model, path):
    """Write a LiteRT file (.tflite) for phones and small devices.

    Args:
        model: keras.Model, built.
        path: file to write, ending in ".tflite".

    Returns:
        float, the largest difference to the model's own outputs.

    Raises:
        TypeError: `model` is no keras.Model.
        ValueError: the path's ending.
        RuntimeError: the outputs differ by more than 1e-4 of the largest, or by
            more than the precision that the layers compute in.
    """
    _check_model(model)
    _check_suffix(path, ".tflite")
    with files.replacing(path) as temporary:
        model.export(
            str(temporary),
            format="litert",
            verbose=False,
            input_signature=_signature(model),
        )
        difference = _compare(path, model, _litert(temporary))
    return difference


def export_onnx(model, path):
    """Write an ONNX file. Needs the extra: pip install "snas-keras[export]".

    Args:
        model: keras.Model, built.
        path: file to write, ending in ".onnx".

    Returns:
        float, the largest difference to the model's own outputs.

    Raises:
        ImportError: the extra is not installed.
        TypeError: `model` is no keras.Model.
        ValueError: the path's ending.
        RuntimeError: the outputs differ by more than 1e-4 of the largest, or by
            more than the precision that the layers compute in.
    """
    _check_model(model)
    _check_suffix(path, ".onnx")
    runtime = _onnx_runtime()
    with files.replacing(path) as temporary:
        model.export(
            str(temporary),
            format="onnx",
            verbose=False,
            input_signature=_signature(model),
        )
        session = runtime.InferenceSession(str(temporary))
        difference = _compare(path, model, _onnx(session))
    return difference


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {model!r}")


def _check_suffix(path, suffix):
    if not str(path).endswith(suffix):
        raise ValueError(f"`path` must end in {suffix!r}. Received: {path}")


def _named(model):
    """Return the model as a function with a dict of named outputs."""
    names = _output_names(model)

    def serve(inputs):
        outputs = model(inputs, training=False)
        return dict(zip(names, keras.tree.flatten(outputs), strict=True))

    return serve


def _output_names(model):
    """Return the keys of a dict of outputs, else the layers' names, once each.

    One layer may make several outputs.
    """
    if isinstance(model.output, dict):
        keys = {key: key for key in model.output}
        names = keras.tree.flatten(keys)
        if len(names) == len(model.output_names):
            return names
    names = []
    for name in model.output_names:
        again = sum(n.partition("/")[0] == name for n in names)
        names.append(f"{name}/{again}" if again else name)
    return names


def _tolerance(model):
    found = {
        _LOW_PRECISION.get(layer.compute_dtype, _TOLERANCE)
        for layer in model._flatten_layers()
    }
    return max(found)


def _signature(model):
    spec = keras.tree.map_structure(
        lambda x: keras.InputSpec(shape=x.shape, dtype=x.dtype, name=x.name),
        model.input,
    )
    return [spec]


def _compare(path, model, run):
    """Return the largest difference over two batch sizes, or raise."""
    differences, sizes = [0.0], [1.0]
    generator = np.random.default_rng(0)
    for batch_size in (1, 3):
        inputs = keras.tree.map_structure(
            lambda x, n=batch_size: _random_input(x, n, generator), model.input
        )
        expected = keras.tree.flatten(model(inputs, training=False))
        found = run(inputs)
        for name, value in zip(_output_names(model), expected, strict=True):
            value = keras.ops.convert_to_numpy(value).astype("float32")
            other = np.asarray(_pick(found, name), "float32")
            differences.append(np.abs(value - other).max())
            sizes.append(np.abs(value).max())
    # Unlike that of Python, this maximum of NaN and a number is NaN.
    difference = float(np.max(differences))
    allowed = _tolerance(model) * float(np.max(sizes))
    if not (difference <= allowed < np.inf):
        raise RuntimeError(
            f"The export to {path} gives other outputs than the model: the "
            f"largest difference is {difference}, allowed is {allowed}. "
            "Nothing was written."
        )
    return difference


def _pick(found, name):
    return found[name] if isinstance(found, dict) else found.pop(0)


def _random_input(tensor, batch_size, generator):
    shape = [batch_size] + [side or 8 for side in tensor.shape[1:]]
    if tensor.dtype == "string":
        return tf.constant(generator.choice(["", "a", "b"], shape))
    if not keras.backend.is_float_dtype(tensor.dtype):
        return tf.constant(generator.integers(0, 2, shape), tensor.dtype)
    return tf.cast(generator.uniform(size=shape), tensor.dtype)


def _litert(path):
    interpreter = tf.lite.Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner("serving_default")
    details = sorted(runner.get_input_details())

    def run(inputs):
        tensors = keras.tree.flatten(inputs)
        outputs = runner(**dict(zip(details, tensors, strict=True)))
        return [outputs[name] for name in sorted(outputs)]

    return run


def _onnx_runtime():
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


def _onnx(session):
    names = [x.name for x in session.get_inputs()]

    def run(inputs):
        arrays = [np.asarray(x) for x in keras.tree.flatten(inputs)]
        return session.run(None, dict(zip(names, arrays, strict=True)))

    return run
