"""Fingerprint of a layer: equal for all layers that compute the same."""

import json
import typing
import warnings

import keras

from snas_keras._utils import code as code_lib

# Keys of a config: names, what does not affect latency, references to layers.
_NAMES = {"name", "shared_object_id"}
_NOT_TIMED = {"seed", "trainable", "build_config", "build_input_shape"}
_WIRING = {"keras_history", "input_layers", "output_layers"}


def layer_key(
    layer: keras.layers.Layer, input_shape: typing.Any, same_code: bool = False
) -> str:
    """Return a key of a layer on inputs: its class, its config and the shape.

    By default the key is equal for all layers of equal latency: it is stored in
    files, so classes are identified by name, and seeds and the batch size are
    ignored. With `same_code` it is equal for layers of this process that
    compute the same from equal variables, so that one can run for the other:
    classes, functions and other objects are then identified by their id, and
    every attribute of a class that is neither Keras' nor ours is part of it.

    Args:
        layer: Keras layer.
        input_shape: tuple with the batch dimension, or a structure of such.
        same_code: bool, default False.

    Returns:
        str. A registered class is identified by its registered name, not by
        its module.

    Raises:
        TypeError: the layer cannot be described by its config.

    Example:

    >>> one, other = keras.layers.Dense(2), keras.layers.Dense(2, name="other")
    >>> layer_key(one, (None, 3)) == layer_key(other, (None, 3))
    True
    """
    try:
        if same_code:
            return _key_of_code(layer, input_shape)
        config = _config(layer)
        described = _described(config, _NAMES | _NOT_TIMED, {})
        return json.dumps([described, _of_one(input_shape)])
    except (NotImplementedError, TypeError, ValueError) as error:
        raise TypeError(
            f"Layer {layer.name!r} of type {type(layer).__name__} cannot be "
            "identified: it needs a `get_config` with all arguments of its "
            "constructor."
        ) from error


def _key_of_code(layer, input_shape):
    config = None
    if code_lib.is_trusted(layer):  # The config of others may be incomplete.
        config = _described(_config(layer), _NAMES, {})
    return json.dumps([config, repr(input_shape), code_lib.identity(layer)])


def _config(layer):
    with warnings.catch_warnings():
        # Keras warns of a lambda, which is unsafe in a file.
        warnings.simplefilter("ignore", UserWarning)
        return keras.saving.serialize_keras_object(layer)


def without_modules(key: str) -> str:
    """Convert a key of the first format, which named the classes' modules.

    Args:
        key: str, in the first format.

    Returns:
        str, as `layer_key` returns it.
    """
    config, shape = json.loads(key)
    return json.dumps([_without_modules(config), shape])


def _without_modules(config):
    if isinstance(config, list):
        return [_without_modules(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _without_modules(value)
        for key, value in config.items()
        if not (key == "module" and _is_registered(config))
    }


def _is_registered(config):
    return ">" in (config.get("registered_name") or "")


def _described(config, left_out, places):
    """Remove keys from a config, and refer to layers by position."""
    if isinstance(config, (list, tuple)):
        return [
            _described(x, left_out, places) for x in config if not _is_input(x)
        ]
    if not isinstance(config, dict):
        return config
    if "input_layers" in config:  # A functional model.
        names = [layer["name"] for layer in config["layers"]]
        places = {name: place for place, name in enumerate(names)}
    return {
        key: _described_part(key, value, left_out, places)
        for key, value in config.items()
        if key not in left_out
        and not (key == "module" and _is_registered(config))
    }


def _described_part(key, value, left_out, places):
    if key == "dtype":  # A policy is identified by its name.
        return value["config"] if isinstance(value, dict) else value
    if key in _WIRING:
        return keras.tree.map_structure(lambda x: places.get(x, x), value)
    return _described(value, left_out, places)


def _is_input(config):
    """Return whether this is an input layer, which a built Sequential has."""
    return isinstance(config, dict) and config.get("class_name") == "InputLayer"


def _of_one(shape):
    if any(isinstance(part, (tuple, list)) for part in shape):
        return [_of_one(part) for part in shape]
    return list(shape[1:])
