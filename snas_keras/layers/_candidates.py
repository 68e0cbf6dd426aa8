"""Validation of candidates, and the arguments that they are called on."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from snas_keras._utils import names as names_lib

_ARGUMENT = "argument_"
# Called on a single tensor, these compute self-attention.
_TWO_ARGUMENTS = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)
_LIST_OF_TWO = (keras.layers.Attention, keras.layers.AdditiveAttention)


class Choice:
    """The result of `choose`: a function of tensors.

    It is not a layer: a wrapper such as `TimeDistributed` or `Bidirectional`
    goes around each candidate, not around the choice.

    Args:
        name: str, name of the choice.
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
                f"Choice {self.name!r} must be called on tensors, the first as "
                "a positional argument; set other arguments in the "
                "constructors of the candidates, or in a wrapper layer. "
                "Received: "
                f"{_described(args, kwargs)}"
            )
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return (
            f"<choice {self.name!r}: call it on tensors. A wrapper such as "
            "TimeDistributed goes around each candidate>"
        )


def joined(args: Any, kwargs: Any) -> tuple[Any, bool]:
    """Pack the arguments of a call in one structure.

    Args:
        args: tuple of tensors or structures of them, at least one.
        kwargs: {name: tensor}.

    Returns:
        (inputs, is_spread): a single argument unchanged and False; several as a
        dict, which `arguments` unpacks, and True.
    """
    if len(args) == 1 and not kwargs:
        return args[0], False
    by_place = {f"{_ARGUMENT}{i}": x for i, x in enumerate(args)}
    return {**by_place, **kwargs}, True


def arguments(
    layer: keras.layers.Layer, inputs: Any, is_spread: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a candidate.

    Attention layers on a single tensor compute self-attention.

    Args:
        layer: Keras layer.
        inputs: inputs of the edge, as `joined` returns them.
        is_spread: bool, as `joined` returns it.

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
    """Validate the candidates of a choice, and make their layers.

    A candidate may be a function without arguments that makes the layer.

    Args:
        choice: str, name of the choice, for the message.
        candidates: mapping of str to Keras layer or function.

    Returns:
        {candidate name: Keras layer}.

    Raises:
        TypeError: `candidates` is not a mapping, or a candidate not a layer.
        ValueError: no candidates, or invalid names.
    """
    if not hasattr(candidates, "items"):
        raise TypeError(
            f"The candidates of choice {choice!r} must be a mapping {{name: "
            f"layer}}. Received: {candidates!r}"
        )
    names_lib.check_choice(choice, candidates)
    return {name: as_layer(choice, name, c) for name, c in candidates.items()}


def as_layer(choice: str, name: str, candidate: Any) -> keras.layers.Layer:
    """Return a candidate's layer, calling the function that makes it if needed.

    Args:
        choice: str, name of the choice, for the message.
        name: str, name of the candidate.
        candidate: Keras layer, or function without arguments that makes one.

    Returns:
        Keras layer.

    Raises:
        TypeError: `candidate` is neither.
    """
    is_layer = isinstance(candidate, keras.layers.Layer)
    layer = candidate if is_layer or not callable(candidate) else candidate()
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            f"Candidate {name!r} of choice {choice!r} must be a Keras layer or "
            f"a function without arguments that makes one. Received: {layer!r}"
        )
    return layer


def _is_tensor(value):
    return isinstance(value, keras.KerasTensor) or keras.ops.is_tensor(value)


def _described(args, kwargs):
    words = [repr(x) for x in args]
    words += [f"{name}={x!r}" for name, x in kwargs.items()]
    return ", ".join(words) or "nothing"
