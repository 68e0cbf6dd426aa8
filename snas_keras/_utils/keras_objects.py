"""Copies of Keras objects, by their serialization.

Keras loads a layer from its config, its assets (vocabularies) and its own
variables. The same is done here in memory, with the functions and classes of
the original object, so that nothing has to be registered.
"""

import contextlib
import inspect
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras

_FUNCTIONS = ("function", "__lambda__")


def rebuilt(source: Any, copied: Callable[[Any], Any] | None = None) -> Any:
    """Copy an object by its config and its assets.

    Args:
        source: layer, metric or other object with `get_config`.
        copied: function (layer) -> new layer, for layers among the constructor
            arguments of `source`, so that several wrappers of one layer still
            share it. Default None: such layers are copied by their config.

    Returns:
        The copy, without the values of the variables.

    Raises:
        ValueError: the object cannot be created from its config; the message
            says what to do.
    """
    try:
        with warnings.catch_warnings():
            # Keras warns of a lambda in a config, which is not loaded here.
            warnings.simplefilter("ignore")
            copy = _from_config(source, source.get_config(), copied)
        for old, new in _pairs(source, copy):
            _copy_assets(old, new)
    except Exception as error:
        raise ValueError(
            f"{_described(source)} cannot be copied by its config, which a "
            "child network needs. Give its class a `get_config` that "
            "returns all arguments of the constructor, give functions a name "
            "(`def`) in place of a `lambda`, and register both with "
            "keras.saving.register_keras_serializable. "
            f"{type(error).__name__}: {error}"
        ) from error
    return copy


def carry(source: Any, copy: Any) -> None:
    """Copy the variables and the trainable flags of a built layer.

    Every layer saves and loads its own variables, as in a file. Between layers
    of different classes, the weights are copied in their order.

    Args:
        source: built layer.
        copy: built layer that computes the same.
    """
    if copy.trainable != source.trainable:
        copy.trainable = source.trainable
    if type(copy) is not type(source):
        if copy.weights:
            copy.set_weights(source.get_weights())
        return
    _carry_own_variables(source, copy)
    for pair in zip(sublayers(source), sublayers(copy), strict=True):
        carry(*pair)


def _carry_own_variables(source, copy):
    store: dict[str, Any] = {}
    source.save_own_variables(store)
    copy.load_own_variables(store)


def sublayers(layer: Any) -> list[Any]:
    """List the direct sublayers of a layer, in the order of creation.

    Keras has a public list of a model's layers only
    (https://github.com/keras-team/keras/issues/19183).
    """
    if isinstance(layer, keras.Model) and hasattr(layer, "operations"):
        return list(layer.layers)
    if not isinstance(layer, keras.layers.Layer):
        return []
    return list(layer._flatten_layers(include_self=False, recursive=False))


def _from_config(source, config, copied):
    live = _live(source, config, copied)
    with keras.saving.custom_object_scope(_own_objects(source)):
        if live:
            with contextlib.suppress(TypeError, ValueError):
                return type(source)(**{**config, **live})
            # A class with a `from_config` of its own gets what a file holds.
            config = keras.saving.serialize_keras_object(source)["config"]
        return type(source).from_config(config, **_trusted(source))


def _trusted(source):
    """Return what lets a layer rebuild what already runs in this process."""
    parameters = inspect.signature(type(source).from_config).parameters
    return {"safe_mode": False} if "safe_mode" in parameters else {}


def _live(source, config, copied):
    """Return the constructor arguments that the object still references."""
    live = {}
    for key, value in config.items():
        if not isinstance(value, dict):
            if any(map(_is_live, keras.tree.flatten(value))):
                live[key] = _with_copies(value, copied)
            continue
        held = getattr(source, key, getattr(source, f"_{key}", None))
        if value.get("class_name") in _FUNCTIONS and callable(held):
            live[key] = held
        elif _is_function(held) and not held.__module__.startswith("keras."):
            live[key] = held
        elif copied and isinstance(held, keras.layers.Layer):
            live[key] = copied(held)
    return live


def _is_live(value):
    return _is_function(value) or isinstance(value, keras.layers.Layer)


def _with_copies(structure, copied):
    """Return a part of a config with copies of the layers that it holds."""

    def copy(value):
        is_layer = isinstance(value, keras.layers.Layer)
        return copied(value) if copied and is_layer else value

    return keras.tree.map_structure(copy, structure)


def _own_objects(source):
    """Return {name: class or function} of all objects that are not Keras'."""
    objects: dict[str, Any] = {}
    for part in _parts(source):
        for value in (part, *vars(part).values()):
            kind = value if _is_function(value) else type(value)
            if _is_function(value) or hasattr(value, "get_config"):
                if not kind.__module__.startswith("keras."):
                    objects[kind.__name__] = kind
    return objects


def _is_function(value):
    return isinstance(value, types.FunctionType)


def _parts(source) -> Iterator[Any]:
    yield source
    for layer in sublayers(source):
        yield from _parts(layer)


def _pairs(source, copy):
    old, new = list(_parts(source)), list(_parts(copy))
    return zip(old, new, strict=True) if len(old) == len(new) else ()


def _copy_assets(source, copy):
    if hasattr(source, "save_assets") and hasattr(copy, "load_assets"):
        _carry_own_variables(source, copy)
        with tempfile.TemporaryDirectory() as directory:
            source.save_assets(directory)
            copy.load_assets(directory)


def _described(source):
    name = getattr(source, "name", "")
    return f"{name!r} of type {type(source).__name__}"
