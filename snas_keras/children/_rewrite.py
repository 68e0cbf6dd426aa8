"""One pass over a functional model that fixes its choices."""

import keras

from snas_keras import layers
from snas_keras._utils import names as names_lib

_KEEPS_ZERO = (
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.ReLU,
    layers.DropPath,
)


class Rewrite:
    """One pass over a functional model that leaves only fixed, stock layers.

    Args:
        model: functional Keras model.
        genotype: {choice name: candidate name}; may be empty where the model
            has no mixed edges.
        left_out: tuple of layer classes to pass by.
        kept: tuple of layer classes that stay what they are.
    """

    def __init__(self, model, genotype, left_out=(), kept=()):
        self.model = model
        self.genotype = genotype
        self.left_out = (keras.layers.Identity, *left_out)
        self.not_cloned = (layers.MixedEdge, layers.Zero, *left_out)
        self.kept = kept
        self.pairs = []
        self.zeros = {}
        self.fixed_edges = {}

    def run(self, inherit):
        clone = keras.models.clone_model(
            self.model,
            clone_function=self._clone,
            call_function=self._call,
        )
        inputs = clone.input[0] if self.genotype else clone.input
        child = keras.Model(inputs, clone.output, name=self.model.name)
        if inherit:
            for source, fixed in self.pairs:
                fixed.set_weights(source.get_weights())
        return child

    def _clone(self, layer):
        if isinstance(layer, self.not_cloned):
            return layer
        is_operation = not isinstance(layer, keras.layers.Layer)
        if is_operation or isinstance(layer, self.kept):
            return layer.__class__.from_config(layer.get_config())
        return self._stock(layer, layer.name)

    def _stock(self, source, name):
        fixed = layers.to_stock(source)
        fixed.name = name
        # The rate of drop path is a variable, that of Dropout a number.
        if not isinstance(source, layers.DropPath):
            self.pairs.append((source, fixed))
        return fixed

    def _call(self, layer, *args, **kwargs):
        if isinstance(layer, layers.MixedEdge):
            return self._call_edge(layer, args[0])
        return self._call_fixed(layer, *args, **kwargs)

    def _call_edge(self, edge, inputs):
        name = self.genotype[edge.choice]
        source = edge.candidates[name]
        if isinstance(source, layers.Zero):
            return self._zero(source, inputs)
        if edge not in self.fixed_edges:
            fixed = self._stock(source, layer_name(edge.name, name))
            self.fixed_edges[edge] = fixed
        args, kwargs = edge.arguments(source, inputs)
        return self._call_fixed(self.fixed_edges[edge], *args, **kwargs)

    def _call_fixed(self, layer, *args, **kwargs):
        if isinstance(layer, layers.Zero):
            return self._zero(layer, args[0])
        if isinstance(layer, self.left_out):
            return args[0]
        if isinstance(layer, _KEEPS_ZERO) and self._is_zero(args[0]):
            return args[0]
        if _is_sum(layer):
            return self._call_sum(layer, *args)
        return layer(*args, **kwargs)

    def _call_sum(self, layer, *args):
        """Leave zeros out of a sum; a sum of nothing else is a zero."""
        terms = list(args[0]) if len(args) == 1 else list(args)
        live = [term for term in terms if not self._is_zero(term)]
        if not live:
            return terms[0]
        if len({term.shape for term in terms}) > 1 or len(live) == len(terms):
            return layer(*args)
        return live[0] if len(live) == 1 else layer(live)

    def _zero(self, zero, inputs):
        """Make zeros of stock layers; who does not use them leaves no trace."""
        if zero.strides > 1:
            inputs = layers.subsampling(zero.strides)(inputs)
        outputs = keras.ops.zeros_like(inputs)
        self.zeros[id(outputs)] = outputs
        return outputs

    def _is_zero(self, tensor):
        return id(tensor) in self.zeros


def layer_name(edge, candidate):
    return names_lib.scope_name(f"{edge}_{candidate}")


def _is_sum(layer):
    # Keras does not export the class behind `x + y` and `keras.ops.add`.
    return type(layer).__name__ == "Add"
