"""A fingerprint of a layer: equal for all layers that compute alike."""

import json
import typing
import warnings

import keras

from snas_keras._utils import code as code_lib

# In a config: what does not change the time, and what names other layers.
_NAMES = {"name", "shared_object_id"}
_NOT_TIMED = {"seed", "trainable", "build_config", "build_input_shape"}
_WIRING = {"keras_history", "input_layers", "output_layers"}


def layer_key(
    layer: keras.layers.Layer, input_shape: typing.Any, same_code: bool = False
) -> str:
    """Describe a layer on inputs by its class, its config and the shape.

    By default the key is the same for all layers that take the same time: it
    is of a file, so a class is known by name, and neither seeds nor the batch
    matter. With `same_code` it is the same for layers of this program that
    compute the same from equal variables, so that one can run for the other:
    then classes, functions and other objects are known by identity, and every
    attribute of a class that is not Keras' own must be accounted for.

    Args:
        layer: Keras layer.
        input_shape: tuple with the batch dimension, or a structure of such.
        same_code: bool, default False.

    Returns:
        str. A registered class goes by its registered name, wherever its
        module is.

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
            "told from others: it needs a `get_config` that names all its "
            "arguments."
        ) from error


def _key_of_code(layer, input_shape):
    config = None
    if code_lib.is_trusted(layer):  # Of others it may say anything.
        config = _described(_config(layer), _NAMES, {})
    return json.dumps([config, repr(input_shape), code_lib.identity(layer)])


def _config(layer):
    with warnings.catch_warnings():
        # Keras warns of a lambda, for files that somebody else may load.
        warnings.simplefilter("ignore", UserWarning)
        return keras.saving.serialize_keras_object(layer)


def without_modules(key: str) -> str:
    """Return a key as written before, without the modules it named.

    Args:
        key: str, of a version whose keys had the modules of registered classes.

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
    """Leave out what does not matter, call layers by their place."""
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
    if key == "dtype":  # A policy is told by its name.
        return value["config"] if isinstance(value, dict) else value
    if key in _WIRING:
        return keras.tree.map_structure(lambda x: places.get(x, x), value)
    return _described(value, left_out, places)


def _is_input(config):
    """Say whether it is the input layer, which a Sequential has when built."""
    return isinstance(config, dict) and config.get("class_name") == "InputLayer"


def _of_one(shape):
    if any(isinstance(part, (tuple, list)) for part in shape):
        return [_of_one(part) for part in shape]
    return list(shape[1:])
