"""Identity of the code that a layer runs."""

import functools
import typing

import keras
import numpy as np

_SIMPLE = (type(None), bool, int, float, complex, str, bytes)
# Used when a weight is created or updated, not in a call.
_NOT_CALLED = (
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
)
_OWN_PACKAGES = ("keras", "snas_keras")


def is_trusted(value: typing.Any) -> bool:
    """Return whether the config of an object is known to be complete.

    Args:
        value: object.

    Returns:
        bool, True if its class is one of Keras' or ours.
    """
    return is_trusted_class(type(value))


def is_trusted_class(kind: type) -> bool:
    """Return whether a class is one of Keras' or ours.

    Args:
        kind: type.

    Returns:
        bool.
    """
    return kind.__module__.partition(".")[0] in _OWN_PACKAGES


def identity(layer: keras.layers.Layer) -> tuple:
    """Return a key of the layer's code, valid within this process.

    The config of a class of Keras' or ours is complete, so only other objects
    in its attributes count, such as a user's function. Of any other class every
    attribute counts, whether or not its config names it.

    Args:
        layer: Keras layer, built.

    Returns:
        tuple of numbers, strings and tuples. Objects that cannot be compared
        are represented by their id, so the key is valid while they exist.
    """
    variables = [
        (str(v.path).rpartition("/")[2], tuple(v.shape), v.dtype, v.trainable)
        for v in layer.variables
    ]
    return (*variables, _operation(layer, {}))


def _operation(operation, seen):
    if id(operation) in seen:
        return ("again", seen[id(operation)])
    seen[id(operation)] = len(seen)
    is_own = is_trusted(operation)
    parts = [
        (name, described)
        for name, value in sorted(vars(operation).items())
        if name == "_layers" or not _is_of_the_base(name)
        if (described := _value(value, is_own, seen)) is not None
    ]
    settings = ()
    if isinstance(operation, keras.layers.Layer):
        settings = (operation.dtype_policy.name, operation.trainable)
    return (id(type(operation)), *settings, *parts)


def _value(value, is_own, seen):
    """Return the key of an attribute, None if the config determines it."""
    if isinstance(value, _SIMPLE) or isinstance(value, np.generic):
        return None if is_own else repr(value)
    if isinstance(value, (list, tuple)):
        return _values(enumerate(value), is_own, seen)
    if isinstance(value, dict):
        return _values(value.items(), is_own, seen)
    if isinstance(value, keras.Operation):
        return _operation(value, seen)
    if isinstance(value, keras.Variable):
        return None if is_own else (tuple(value.shape), value.dtype)
    if isinstance(value, keras.random.SeedGenerator):
        return None if is_own else "seed generator"
    return None if is_own and _is_in_config(value) else _object(value)


def _is_in_config(value):
    """Return whether the config of a trusted class determines this value."""
    kind = type(value)
    is_plain = kind.__module__ == "builtins" and not callable(value)
    return is_plain or is_trusted(value) or isinstance(value, _NOT_CALLED)


def _values(items, is_own, seen):
    parts = [(str(k), _value(value, is_own, seen)) for k, value in items]
    known = tuple(part for part in parts if part[1] is not None)
    return known or (None if is_own else ())


def _object(value):
    name = getattr(value, "__qualname__", "")
    if (
        str(getattr(value, "__module__", "")).startswith("keras.")
        and name
        and "<" not in name
    ):
        return name  # A function or class of Keras is known by its name.
    return ("object", id(value))


@functools.cache
def _base_attributes():
    class Probe(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    layer, model = Probe(name="probe"), keras.Model(name="probe")
    layer(np.zeros((1, 1), "float32"))
    return frozenset((*vars(layer), *vars(model)))


def _is_of_the_base(name):
    # TensorFlow adds and removes attributes of its own.
    return name.startswith("_self_") or name in _base_attributes()
