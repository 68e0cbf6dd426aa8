"""Candidates: what may be one, and what it is called on."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from snas_keras._utils import names as names_lib

_ARGUMENT = "argument_"
# Called on one tensor these attend to it itself.
_TWO_ARGUMENTS = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)
_LIST_OF_TWO = (keras.layers.Attention, keras.layers.AdditiveAttention)


class Choice:
    """What `choose` returns: to be called on tensors, as a layer is.

    It is no layer. A wrapper such as `TimeDistributed` or `Bidirectional` goes
    around each candidate, not around the choice.

    Args:
        name: str, of the choice.
        call: function (*tensors, **tensors) -> tensors.
    """

    def __init__(self, name: str, call: Callable[..., Any]):
        self.name = name
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not args or any(
            not _is_tensor(leaf) for leaf in keras.tree.flatten((args, kwargs))
        ):
            raise ValueError(
                f"Choice {self.name!r} must be called on tensors, the first by "
                "its place; give other arguments to the candidates themselves, "
                "or wrap them in a layer that does. Received: "
                f"{_described(args, kwargs)}"
            )
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return (
            f"<choice {self.name!r}: call it on tensors. A wrapper such as "
            "TimeDistributed goes around each candidate>"
        )


def joined(args: Any, kwargs: Any) -> tuple[Any, bool]:
    """Join the arguments of a call to one structure.

    Args:
        args: tuple of tensors or structures of them, at least one.
        kwargs: {name: tensor}.

    Returns:
        (inputs, is_spread): one argument as it is; several as a dict, which
        `arguments` spreads again.
    """
    if len(args) == 1 and not kwargs:
        return args[0], False
    by_place = {f"{_ARGUMENT}{i}": x for i, x in enumerate(args)}
    return {**by_place, **kwargs}, True


def arguments(
    layer: keras.layers.Layer, inputs: Any, is_spread: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a candidate is called with.

    Attention layers that get one tensor attend to it itself.

    Args:
        layer: Keras layer.
        inputs: what the edge got, as `joined` returns it.
        is_spread: bool, the same.

    Returns:
        (args, kwargs).
    """
    if is_spread:
        places = [k for k in inputs if k.startswith(_ARGUMENT)]
        args = tuple(inputs[f"{_ARGUMENT}{i}"] for i in range(len(places)))
        return args, {k: x for k, x in inputs.items() if k not in places}
    is_one = not isinstance(inputs, (list, tuple, dict))
    if is_one and isinstance(layer, _TWO_ARGUMENTS):
        return (inputs, inputs), {}
    if is_one and isinstance(layer, _LIST_OF_TWO):
        return ([inputs, inputs],), {}
    return (inputs,), {}


def check_candidates(
    choice: str, candidates: Mapping[str, Any]
) -> dict[str, keras.layers.Layer]:
    """Return {candidate name: layer}, or refuse what cannot be that.

    A candidate may be given as a function of no arguments that makes the layer.

    Args:
        choice: str, the name of the choice, for the message.
        candidates: mapping of str to Keras layer or function.

    Returns:
        dict of str to Keras layer.

    Raises:
        TypeError: `candidates` is no mapping, or a candidate no layer.
        ValueError: no candidates or bad names.
    """
    if not hasattr(candidates, "items"):
        raise TypeError(
            f"The candidates of choice {choice!r} must be a mapping {{name: "
            f"layer}}. Received: {candidates!r}"
        )
    names_lib.check_choice(choice, candidates)
    return {name: as_layer(choice, name, c) for name, c in candidates.items()}


def as_layer(choice: str, name: str, candidate: Any) -> keras.layers.Layer:
    """Return the candidate's layer, making it where a function was given.

    Args:
        choice: str, the name of the choice, for the message.
        name: str, the name of the candidate.
        candidate: Keras layer, or function of no arguments that makes one.

    Returns:
        Keras layer.

    Raises:
        TypeError: it is neither.
    """
    is_layer = isinstance(candidate, keras.layers.Layer)
    layer = candidate if is_layer or not callable(candidate) else candidate()
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            f"Candidate {name!r} of choice {choice!r} must be a Keras layer or "
            f"a function of no arguments that makes one. Received: {layer!r}"
        )
    return layer


def _is_tensor(value):
    return isinstance(value, keras.KerasTensor) or keras.ops.is_tensor(value)


def _described(args, kwargs):
    words = [repr(x) for x in args]
    words += [f"{name}={x!r}" for name, x in kwargs.items()]
    return ", ".join(words) or "nothing"
