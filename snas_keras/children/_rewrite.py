"""One pass over a functional model that fixes its choices."""

from collections.abc import Mapping
from typing import Any

import keras

from snas_keras import layers
from snas_keras._utils import keras_private
from snas_keras._utils import names as names_lib

# Keras takes the masks off the tensors that these are called on.
_TAKES_MASKS = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)


class Rewrite:
    """One pass over a functional model that leaves only fixed, stock layers.

    Args:
        model: functional Keras model; with a genotype its inputs are [inputs,
            {choice name: weights}].
        genotype: {choice name: candidate name}; may be empty where the model
            has no mixed edges.
        left_out: tuple of layer classes to pass by.
        kept: tuple of layer classes that stay what they are.
    """

    def __init__(
        self,
        model: keras.Model,
        genotype: Mapping[str, str],
        left_out: tuple[type, ...] = (),
        kept: tuple[type, ...] = (),
    ):
        self.model = model
        self.genotype = genotype
        self.left_out = left_out
        self.copies = layers.Copies(kept)
        self.names = {operation.name for operation in model.operations}
        self.zeros: dict[int, Any] = {}
        self.spared = set(_behind_identities(model, self._source))

    def run(self) -> keras.Model:
        """Return the fixed network, with the state of the model."""
        clone = layers.clone(self.model, self._copy, self._call)
        inputs = clone.input[0] if self.genotype else clone.input
        child = keras.Model(inputs, self._named(clone), name=self.model.name)
        self.copies.inherit()
        return child

    def _named(self, clone):
        """Return the outputs under the old names, by which losses are given."""
        layers_by_name, outputs = {}, []
        names = zip(self.model.output_names, clone.output_names, strict=True)
        for tensor, (name, now) in zip(clone.outputs, names, strict=True):
            if name != now:
                layer = keras.layers.Identity(name=name, dtype=tensor.dtype)
                tensor = layers_by_name.setdefault(name, layer)(tensor)
            outputs.append(tensor)
        return keras.tree.pack_sequence_as(clone.output, outputs)

    def _copy(self, layer):
        passed_by = (layers.MixedEdge, layers.Zero, *self.left_out)
        if isinstance(layer, passed_by) or layer in self.spared:
            return layer
        return self.copies.of(layer)

    def _source(self, layer):
        """Return what is computed in the layer's place."""
        if isinstance(layer, layers.MixedEdge):
            return layer.candidates[self.genotype[layer.choice]]
        return layer

    def _call(self, layer, *args, **kwargs):
        if not isinstance(layer, layers.MixedEdge):
            return self._call_fixed(layer, *args, **kwargs)
        source = self._source(layer)
        if isinstance(source, layers.Zero):
            return self._zero(source, args[0])
        if source not in self.copies:
            self.copies.of(source, self._name_of(layer))
        inputs = args[0]
        if isinstance(source, _TAKES_MASKS):
            inputs = keras.tree.map_structure(_with_its_mask, inputs)
        given, named = layer.arguments(source, inputs)
        outputs = self._call_fixed(self.copies.of(source), *given, **named)
        return keras.tree.map_structure(
            lambda y: _cast(y, layer.output_dtype), outputs
        )

    def _name_of(self, edge):
        """Return a name for the edge's candidate that nothing else has."""
        if edge.name in self.model.output_names:
            return edge.name
        name = layer_name(edge.name, self.genotype[edge.choice])
        number, found = 0, name
        while found in self.names:
            number += 1
            found = f"{name}_{number}"
        self.names.add(found)
        return found

    def _call_fixed(self, layer, *args, **kwargs):
        if isinstance(layer, layers.Zero):
            return self._zero(layer, args[0])
        if isinstance(layer, self.left_out) or layer in self.spared:
            return args[0]
        if _is_sum(layer):
            return self._call_sum(layer, *args, **kwargs)
        if self._changes_nothing(layer, *args):
            return args[0]
        for value in keras.tree.flatten((args, kwargs)):
            if isinstance(value, keras.Variable):
                self._copy_owner(value)
        return self.copies.call(layer, *args, **kwargs)

    def _copy_owner(self, variable):
        """Copy the layer whose variable an operation is called on."""
        for layer in self.model.layers:
            if any(v is variable for v in layer.weights):
                self._copy(layer)

    def _changes_nothing(self, layer, inputs=None, *_):
        is_identity = isinstance(layer, keras.layers.Identity)
        zero = _keeps_zero(layer) and id(inputs) in self.zeros
        return (is_identity or zero) and _keeps_dtype(layer, inputs)

    def _call_sum(self, layer, *args, **kwargs):
        """Leave zeros out of a sum; a sum of nothing else is a zero."""
        terms = list(args[0]) if len(args) == 1 else list(args)
        live = [term for term in terms if id(term) not in self.zeros]
        if len(live) == len(terms) or not _are_alike(layer, terms):
            return layer(*args, **kwargs)
        if not live:
            return terms[0]
        return live[0] if len(live) == 1 else layer(live)

    def _zero(self, zero, inputs):
        """Make zeros of stock layers; who does not use them leaves no trace."""
        if zero.strides > 1:
            inputs = layers.subsampling(zero.strides)(inputs)
        if keras_private.mask_of(inputs) is None:
            outputs = keras.ops.zeros_like(inputs)
        else:  # What comes behind gets the mask, as in the supernet.
            scaling = keras.layers.Rescaling(0.0, dtype=inputs.dtype)
            outputs = scaling(inputs)
        self.zeros[id(outputs)] = outputs
        return outputs


def layer_name(edge: str, candidate: str) -> str:
    """Return the name in a child of the layer that an edge has become."""
    return names_lib.scope_name(f"{edge}_{candidate}")


def _behind_identities(model, source):
    """Yield the drop paths that would drop what passes unchanged.

    A fixed network spares identities: the node behind would get nothing.
    """
    producers = {}
    for operation in model.operations:
        for tensor in keras.tree.flatten(operation.output):
            producers[id(tensor)] = operation
    for operation in model.operations:
        if isinstance(operation, layers.DropPath):
            before = source(producers.get(id(operation.input)))
            if isinstance(before, keras.layers.Identity):
                yield operation


def _with_its_mask(tensor):
    """Return the tensor anew, so that the mask of the old one is not taken."""
    if keras_private.mask_of(tensor) is None:
        return tensor
    return keras.layers.Rescaling(1.0, dtype=tensor.dtype)(tensor)


def _cast(tensor, dtype):
    if dtype is None or tensor.dtype == dtype:
        return tensor
    return keras.ops.cast(tensor, dtype)


def _keeps_dtype(layer, tensor):
    """Say whether a layer, which casts floats, gives the dtype it gets."""
    is_float = keras.backend.is_float_dtype(tensor.dtype)
    return not is_float or tensor.dtype == layer.compute_dtype


def _keeps_zero(layer):
    """Say whether a layer answers zero with zero. A batch norm does not."""
    if isinstance(layer, keras.layers.ReLU):
        return layer.threshold == 0
    return isinstance(layer, (keras.layers.Dropout, layers.DropPath))


def _is_sum(layer):
    # Keras does not export the class behind `x + y` and `keras.ops.add`.
    is_own = type(layer).__module__.startswith("keras.")
    return is_own and type(layer).__name__ == "Add"


def _are_alike(layer, terms):
    """Say whether each term has the shape and dtype of the sum.

    A term that is broadcast, a number, or cast by the sum may not be left out.
    """
    kinds = {
        (getattr(x, "shape", None), getattr(x, "dtype", None)) for x in terms
    }
    [(shape, dtype), *others] = kinds
    if others or shape is None:
        return False
    return dtype == getattr(layer, "compute_dtype", dtype)
