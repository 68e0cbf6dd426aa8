"""Changed attributes of an object, as JSON and arrays."""

import importlib
import json
import operator
import random
import types
import typing
import zlib
from collections.abc import Callable

import numpy as np

_SCALARS = (type(None), bool, int, float, str)
_IGNORED = {"model", "_model", "params", "validation_data"}


class UnknownKindError(TypeError):
    """A value that JSON and arrays cannot hold."""


class Attributes:
    """The attributes of an object that differ from what they were.

    Numbers, strings, arrays, lists and dicts of them, functions of modules and
    random generators count; all else is left alone. What has not changed since
    the beginning is not part of the state, so that a setting may be another in
    the next run.

    Args:
        thing: object with a `__dict__`.
    """

    def __init__(self, thing: typing.Any):
        self.thing = thing
        self.start = self._fingerprints()

    def _fingerprints(self):
        marks = {}
        for name, value in vars(self.thing).items():
            try:
                marks[name] = json.dumps(encode(value, _mark))
            except UnknownKindError:
                continue
        return {k: v for k, v in marks.items() if k not in _IGNORED}

    def changed(self, store: Callable[[np.ndarray], typing.Any]) -> dict:
        """Return {name: JSON} of what has changed.

        Args:
            store: function (array) -> what stands for it in the JSON.

        Returns:
            dict of str to what `decode` reads.
        """
        return {
            name: encode(vars(self.thing)[name], store)
            for name, mark in self._fingerprints().items()
            if self.start.get(name) != mark
        }

    def restore(self, state: dict, load: Callable) -> None:
        """Set the attributes to what `changed` returned.

        Args:
            state: as `changed` returned it.
            load: function that gives the array for what `store` returned.
        """
        for name, value in state.items():
            old = vars(self.thing).get(name)
            setattr(self.thing, name, decode(value, load, old))


def encode(value: typing.Any, store: Callable) -> typing.Any:
    """Return a value as JSON, its arrays by what `store` makes of them.

    Args:
        value: number, str, None, array, function of a module, generator, or
            list, tuple or dict of such.
        store: function (array) -> JSON.

    Returns:
        What `json` can write and `decode` reads.

    Raises:
        UnknownKindError: something else is among them.
    """
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
        return {"array": store(np.asarray(value))}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(v, store) for v in value]}
    if isinstance(value, dict):
        pairs = [[encode(x, store) for x in pair] for pair in value.items()]
        return {"dict": pairs}
    if isinstance(value, types.FunctionType) and "<" not in value.__qualname__:
        return {"function": [value.__module__, value.__qualname__]}
    if isinstance(value, np.random.Generator):
        return {"generator": encode(value.bit_generator.state, store)}
    if isinstance(value, np.random.RandomState):
        return {"random_state": encode(value.get_state(), store)}
    if isinstance(value, random.Random):
        return {"random": encode(value.getstate(), store)}
    raise UnknownKindError(type(value).__name__)


def decode(value: typing.Any, load: Callable, old: typing.Any = None):
    """Return what `encode` was given; a generator `old` is set in place.

    Args:
        value: as `encode` returned it.
        load: function that gives the array for what `store` returned.
        old: the value that is replaced, default None.

    Returns:
        object.
    """
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "array":
        return load(content)[()]
    if kind == "function":
        module, name = content
        return operator.attrgetter(name)(importlib.import_module(module))
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](
            decode(v, load) for v in content
        )
    if kind == "dict":
        return {decode(k, load): decode(v, load) for k, v in content}
    state = decode(content, load)
    if kind == "generator":
        old = old or np.random.Generator(
            getattr(np.random, state["bit_generator"])()
        )
        old.bit_generator.state = state
    elif kind == "random_state":
        old = old or np.random.RandomState()
        old.set_state(state)
    else:
        old = old or random.Random()
        old.setstate(state)
    return old


def _mark(array):
    data = np.ascontiguousarray(array)
    return [data.shape, data.dtype.str, zlib.crc32(data.tobytes())]
