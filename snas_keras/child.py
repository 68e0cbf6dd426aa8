"""Fixed networks: from a genotype, or out of a trained supernet."""

import keras

from snas_keras import layers, recalibration, spaces
from snas_keras._utils import names as names_lib

_KEEPS_ZERO = (
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.ReLU,
    layers.DropPath,
)


def build_child(space, genotype, **options):
    """Build the network of a genotype afresh, for retraining.

    Args:
        space: SearchSpace.
        genotype: Genotype or mapping {choice name: candidate name}.
        **options: options of the space to change, e.g. more filters.

    Returns:
        keras.Model of stock Keras layers (and the user's own), with new
        weights. Edges that chose `none` are left out. Where the space has drop
        path, the child has `DropPath` layers, which `DropPathSchedule` sets and
        `for_inference` leaves out.

    Raises:
        TypeError: `space` is not a SearchSpace or has no such option.
        ValueError: the genotype does not fit the space.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> child = build_child(space, space.random_genotype(0), filters=8)
    >>> child.output_shape
    (None, 10)
    """
    space = spaces.check_space(space).with_options(**options)
    genotype = spaces.Genotype(genotype).check(space.choices())
    unique = spaces.unique_names()

    def choose(name, candidates):
        chosen = genotype[name]
        layer = layers.as_layer(name, chosen, candidates[chosen])
        if layer.built:
            return layer
        return _renamed(layer, _layer_name(unique(name), chosen))

    inputs, outputs = spaces.as_functional(space, choose)
    program = keras.Model(inputs, outputs, name=space.name)
    rewrite = _Rewrite(program, {}, kept=(layers.DropPath,))
    return rewrite.run(inherit=False)


def convert(supernet, genotype=None):
    """Turn a trained supernet into the fixed network of one genotype.

    Every mixed edge becomes its chosen candidate and all weights are
    inherited: the child gives the supernet's outputs under the genotype.
    No search space is needed, so it works on a loaded file.

    Args:
        supernet: SuperNet.
        genotype: Genotype or mapping {choice name: candidate name}, default
            `supernet.derive()`.

    Returns:
        keras.Model of stock Keras layers (and the user's own). Edges that chose
        `none` are left out.

    Raises:
        ValueError: the genotype does not fit the supernet.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> supernet = snas_keras.build_supernet(space)
    >>> x = np.ones((2, 8, 8, 1), "float32")
    >>> np.array_equal(convert(supernet)(x), supernet(x))
    True
    """
    if genotype is None:
        genotype = supernet.derive()
    choices = supernet.architecture.choices
    genotype = spaces.Genotype(genotype).check(choices)
    return _Rewrite(supernet.network, genotype).run(inherit=True)


def for_inference(model, output=None):
    """Return a trained network without what only its training needs.

    Drop path is left out, and with `output` all that leads to other outputs,
    such as the auxiliary classifier. Outside training the numbers are the same.

    Args:
        model: functional keras.Model, as `build_child` gives it.
        output: str, the output to keep, where the model has a dict of them.
            Default None: all.

    Returns:
        keras.Model of stock Keras layers (and the user's own), with the weights
        of `model`.

    Raises:
        ValueError: there is no such output.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> child = build_child(space, space.random_genotype(0))
    >>> x = np.ones((2, 8, 8, 1), "float32")
    >>> np.array_equal(for_inference(child)(x), child(x))
    True
    """
    outputs = model.output
    if output is not None:
        if not isinstance(outputs, dict) or output not in outputs:
            raise ValueError(
                f"The model has no such output. Received: output={output!r}. "
                f"Its outputs are: {outputs}"
            )
        outputs = outputs[output]
    part = keras.Model(model.input, outputs, name=model.name)
    return _Rewrite(part, {}, left_out=(layers.DropPath,)).run(inherit=True)


def inherited_child(supernet, genotype=None, train_data=None, steps=None):
    """Convert, compile as the supernet is, and recalibrate batch norm.

    The child can be evaluated at once: it has the supernet's weights.

    Args:
        supernet: SuperNet, compiled.
        genotype: as for `convert`.
        train_data: as for `recalibrate_batch_norm`; default None: no
            recalibration.
        steps: int, as for `recalibrate_batch_norm`.

    Returns:
        keras.Model, compiled with the supernet's loss and metrics.
    """
    child = convert(supernet, genotype)
    config = keras.saving.deserialize_keras_object(
        supernet.get_compile_config()
    )
    names = ("loss", "metrics", "loss_weights", "weighted_metrics")
    child.compile(**{name: config.get(name) for name in names})
    if train_data is not None:
        recalibration.recalibrate_batch_norm(child, train_data, steps)
    return child


class _Rewrite:
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
            fixed = self._stock(source, _layer_name(edge.name, name))
            self.fixed_edges[edge] = fixed
        return self._call_fixed(self.fixed_edges[edge], inputs)

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


def _layer_name(edge, candidate):
    return names_lib.scope_name(f"{edge}_{candidate}")


def _renamed(layer, name):
    return layer.__class__.from_config({**layer.get_config(), "name": name})


def _is_sum(layer):
    # Keras does not export the class behind `x + y` and `keras.ops.add`.
    return type(layer).__name__ == "Add"
