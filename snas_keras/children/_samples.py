"""Random batches that a model can take, to compare it with another."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# For sizes that are open, such as the sides of an image: tried in this order.
# An image that is smaller than the windows passes in Keras, with nothing left
# of it, and ends the process in LiteRT, so the small sizes come last.
SIDES = (64, 256, 512, 32, 16, 8)


class NothingToCompareError(ValueError):
    """A model cannot be called on random inputs."""


def random_inputs(
    inputs: Any, batch_size: int, side: int, seed: int = 0
) -> Any:
    """Return random tensors for the inputs of a model.

    Args:
        inputs: structure of Keras tensors, as `model.input`.
        batch_size: int, where the inputs leave it open.
        side: int, of every other size that is open.
        seed: int, default 0.

    Returns:
        The same structure of tensors, of the inputs' dtypes: floats from 0 to
        1, of which most functions are defined; 0 and 1 for integers, which most
        tables have; short strings.
    """
    generator = np.random.default_rng(seed)

    def random(tensor):
        first, *rest = tensor.shape
        rest = [side if size is None else size for size in rest]
        shape = [batch_size if first is None else first, *rest]
        if tensor.dtype == "string":
            return tf.constant(generator.choice(["", "a", "b"], shape))
        if keras.backend.is_float_dtype(tensor.dtype):
            return tf.cast(generator.uniform(size=shape), tensor.dtype)
        return tf.cast(generator.integers(0, 2, shape), tensor.dtype)

    return keras.tree.map_structure(random, inputs)


def accepted_side(inputs: Any, call: Callable[[Any], Any]) -> int:
    """Return the first of `SIDES` that a model can be called on.

    Args:
        inputs: structure of Keras tensors, as `model.input`.
        call: function (inputs) -> outputs.

    Returns:
        int.

    Raises:
        NothingToCompareError: it cannot be called on any.
    """
    return _accepted(inputs, call)[0]


def answered(inputs: Any, call: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Return random inputs that a model can be called on, and its outputs.

    Args:
        inputs: structure of Keras tensors, as `model.input`.
        call: function (inputs) -> outputs.

    Returns:
        (inputs, outputs), of two examples where the batch is open.

    Raises:
        NothingToCompareError: it cannot be called on any.
    """
    return _accepted(inputs, call)[1:]


def _accepted(inputs, call):
    """Return the side, the random inputs and the outputs."""
    tensors = keras.tree.flatten(inputs)
    is_open = any(None in tensor.shape[1:] for tensor in tensors)
    sides = SIDES if is_open else SIDES[:1]
    accepted, refusal = None, None
    for side in sides:
        values = random_inputs(inputs, 2, side)
        try:
            accepted = side, values, call(values)
        except Exception as error:  # What a layer refuses, it alone knows.
            refusal = error
            continue
        # An image too small for the windows can give means of nothing.
        if all(map(_are_numbers, keras.tree.flatten(accepted[2]))):
            break
    if accepted:
        return accepted
    raise NothingToCompareError(
        "The model cannot be called on random inputs, so that nothing can be "
        f"compared. Tried for open sizes: {sides if is_open else 'none'}. "
        "Give its inputs the sizes that it needs: keras.Input(shape=...). "
        f"{type(refusal).__name__}: {refusal}"
    ) from refusal


def _are_numbers(tensor):
    values = np.asarray(tensor)
    if values.dtype.kind in "OSU":
        return True
    return values.size > 0 and bool(np.isfinite(np.float64(values)).all())


def batches(inputs: Any, side: int) -> Iterator[Any]:
    """Yield random inputs of two batch sizes, or of the one that is fixed.

    Args:
        inputs: structure of Keras tensors, as `model.input`.
        side: int, as for `random_inputs`.

    Yields:
        Structure of tensors.
    """
    tensors = keras.tree.flatten(inputs)
    is_fixed = any(tensor.shape[0] is not None for tensor in tensors)
    for seed, size in enumerate((1,) if is_fixed else (1, 3)):
        yield random_inputs(inputs, size, side, seed)
