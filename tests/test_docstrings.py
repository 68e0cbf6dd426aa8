"""Docstrings of the public names say what goes in and what comes out."""

import importlib
import inspect
import re

import pytest

from tests.test_api import ROOMS

FACES = ["snas_keras", *(f"snas_keras.{room}" for room in ROOMS)]
# Methods of Keras' serialization: the class says what they hold.
SERIALIZATION = {"from_config", "get_config"}


def is_ours(value):
    return value.__module__.partition(".")[0] == "snas_keras"


def methods(cls):
    """Yield (name, function) of the public methods that we define.

    An override without a docstring of its own does what its base documents.
    """
    for base in filter(is_ours, cls.__mro__):
        for name, value in vars(base).items():
            value = getattr(value, "__func__", value)
            if not inspect.isfunction(value) or name.startswith("_"):
                continue
            others = (b for b in cls.__mro__ if b is not base)
            is_override = any(hasattr(b, name) for b in others)
            if name not in SERIALIZATION and (value.__doc__ or not is_override):
                yield f"{base.__name__}.{name}", value


def public_objects(face):
    """Yield (name, object) of all that has parameters in a face."""
    module = importlib.import_module(face)
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isclass(value) and is_ours(value):
            yield name, value
            yield from methods(value)
        elif inspect.isfunction(value) and is_ours(value):
            yield name, value


def parameters(value):
    """List the names, of a class those of the `__init__` that we define."""
    if inspect.isclass(value):
        owner = next(c for c in value.__mro__ if "__init__" in vars(c))
        if not is_ours(owner):
            return []
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    return [
        stars.get(p.kind.name, "") + name
        for name, p in inspect.signature(value).parameters.items()
        if name not in ("self", "cls")
    ]


def sections(text):
    """Split a docstring of Google's convention at its headings."""
    parts = re.split(r"^(\w+):$", text or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def undocumented(value):
    """Return the parameters that no line of `Args:` names."""
    found = sections(inspect.getdoc(value))
    text = found.get("Args", "") + found.get("Attributes", "")
    named = re.findall(r"^ {4}(\*{0,2}\w+)(?: \([^)]*\))?:", text, re.MULTILINE)
    return [name for name in parameters(value) if name not in named]


@pytest.mark.parametrize("face", FACES)
def test_each_parameter_of_a_public_object_is_documented(face):
    missing = {
        name: names
        for name, value in public_objects(face)
        if (names := undocumented(value))
    }
    assert not missing


def returns_nothing(function):
    return inspect.signature(function).return_annotation in (None, "None")


def documents_result(function):
    """Return whether `Returns:`, or the first line without parameters, says."""
    text = inspect.getdoc(function) or ""
    if {"Returns", "Yields"} & sections(text).keys():
        return True
    return not parameters(function) and text.startswith(("Return ", "Yield "))


@pytest.mark.parametrize("face", FACES)
def test_each_public_function_documents_what_it_returns(face):
    missing = {
        name
        for name, value in public_objects(face)
        if not inspect.isclass(value) and not returns_nothing(value)
        if not documents_result(value)
    }
    assert not missing
