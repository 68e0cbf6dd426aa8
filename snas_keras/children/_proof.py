"""The proof of a conversion: child and supernet on the same random batch."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snas_keras import layers
from snas_keras._utils import keras_private
from snas_keras.children import _samples

_LOGGER = logging.getLogger("snas_keras")
# Of the largest output. Half precision rounds sums otherwise.
_TOLERANCE = 1e-4
_HALF_TOLERANCE = 5e-2


def prove(supernet: Any, genotype: Mapping[str, str], child: Any) -> None:
    """Compare a child with its supernet on a random batch, or refuse it.

    Open sizes are tried; networks that cannot be called on a random batch of
    any are not proved, and the logger "snas_keras" notes it. The state of both
    is left as it was.

    Args:
        supernet: SuperNet.
        genotype: mapping {choice name: candidate name}.
        child: keras.Model, converted from it.

    Raises:
        ValueError: the outputs differ.
    """
    network = supernet.network
    weights = supernet.architecture.one_hot(genotype)

    def answer(inputs):
        return network([inputs, weights], training=False)

    with _state_kept(network, child), _one_path(network):
        try:
            inputs, expected = _samples.answered(child.input, answer)
        except _samples.NothingToCompareError as error:
            _LOGGER.info("The child was not compared: %s", error)
            return
        found = child(inputs, training=False)
    pairs = zip(
        child.output_names,
        keras.tree.flatten(expected),
        keras.tree.flatten(found),
        strict=True,
    )
    for name, one, other in pairs:
        if not _are_same(one, other):
            raise ValueError(
                f"The child's output {name!r} is not that of the supernet on "
                "the same inputs: a layer computes something that neither its "
                "config, nor its weights, nor its assets hold. Give it a "
                "`get_config` with all its arguments, and hold state in "
                "variables; `convert(..., verify=False)` leaves the comparison "
                "out."
            )


def _are_same(expected, found):
    dtype = keras.backend.standardize_dtype(expected.dtype)
    if not keras.backend.is_float_dtype(dtype):
        return np.array_equal(expected, found)
    one, other = (np.asarray(tf.cast(x, "float64")) for x in (expected, found))
    finite = np.isfinite(one)
    scale = np.max(np.abs(one), initial=1e-3, where=finite)
    is_half = dtype in ("float16", "bfloat16") or tf.as_dtype(dtype).size < 4
    tolerance = _HALF_TOLERANCE if is_half else _TOLERANCE
    return np.allclose(
        one, other, rtol=0.0, atol=tolerance * scale, equal_nan=True
    )


@contextlib.contextmanager
def _state_kept(*models) -> Iterator[None]:
    """Begin with the states of recurrent layers at zero, and set all back."""
    variables = [
        v for model in models for v in keras_private.changing_state(model)
    ]
    before = [(v, keras.ops.copy(v.value)) for v in variables]
    for model in models:
        keras_private.reset_states(model)
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


@contextlib.contextmanager
def _one_path(network) -> Iterator[None]:
    """Let every edge run its candidate alone: a child costs no supernet."""
    edges = layers.mixed_edges(network)
    before = [edge.single_path for edge in edges]
    try:
        for edge in edges:
            edge.single_path = True
        yield
    finally:
        for edge, value in zip(edges, before, strict=True):
            edge.single_path = value
