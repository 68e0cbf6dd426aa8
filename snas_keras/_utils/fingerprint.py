"""Keys that are the same for all layers that compute alike."""

import json

import keras

# In a config: what does not change the time, and what names other layers.
_IRRELEVANT = {
    "name",
    "seed",
    "trainable",
    "build_config",
    "build_input_shape",
    "shared_object_id",
}
_WIRING = {"keras_history", "input_layers", "output_layers"}


def layer_key(layer, input_shape):
    """Describe a layer on inputs, the same for all that take the same time.

    Args:
        layer: Keras layer.
        input_shape: tuple with the batch dimension, which does not matter, or
            a tuple of such.

    Returns:
        str: class, config without names and seeds, and shape. A registered
        class goes by its registered name, wherever its module is.

    Raises:
        TypeError: the layer cannot be described by its config.
    """
    try:
        config = keras.saving.serialize_keras_object(layer)
        return json.dumps([_described(config, {}), _of_one(input_shape)])
    except (NotImplementedError, TypeError, ValueError) as error:
        raise TypeError(
            f"Layer {layer.name!r} of type {type(layer).__name__} cannot be "
            "told from others: it needs a `get_config` that names all its "
            "arguments."
        ) from error


def without_modules(key):
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


def _described(config, places):
    """Leave out what does not matter; call layers by their place."""
    if isinstance(config, (list, tuple)):
        return [_described(x, places) for x in config if not _is_input(x)]
    if not isinstance(config, dict):
        return config
    if "input_layers" in config:  # A functional model.
        names = [layer["name"] for layer in config["layers"]]
        places = {name: place for place, name in enumerate(names)}
    return {
        key: _described_part(key, value, places)
        for key, value in config.items()
        if key not in _IRRELEVANT
        and not (key == "module" and _is_registered(config))
    }


def _described_part(key, value, places):
    if key == "dtype":  # A policy is told by its name.
        return value["config"] if isinstance(value, dict) else value
    if key in _WIRING:
        return keras.tree.map_structure(lambda x: places.get(x, x), value)
    return _described(value, places)


def _is_input(config):
    """Say whether it is the input layer, which a Sequential has when built."""
    return isinstance(config, dict) and config.get("class_name") == "InputLayer"


def _of_one(shape):
    if any(isinstance(part, (tuple, list)) for part in shape):
        return [_of_one(part) for part in shape]
    return list(shape[1:])


def signature(layer, input_shape):
    """Describe what a layer computes, whatever its name.

    Args:
        layer: Keras layer.
        input_shape: what the layer was built for.

    Returns:
        str, equal for layers that compute the same from equal variables, or
        None where the layer cannot be described by its config.
    """
    try:
        config = keras.saving.serialize_keras_object(layer)
    except (NotImplementedError, TypeError, ValueError):
        return None
    return json.dumps([_nameless(config), input_shape], default=repr)


def _nameless(config):
    if isinstance(config, (list, tuple)):
        return [_nameless(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: _nameless(value) for key, value in config.items()}
    # Keras adds it while it loads a file.
    config.pop("shared_object_id", None)
    kind, inner = config.get("class_name", ""), config.get("config")
    # The name of a dtype policy is what it says.
    if isinstance(inner, dict) and not kind.endswith("Policy"):
        inner.pop("name", None)
    return config
