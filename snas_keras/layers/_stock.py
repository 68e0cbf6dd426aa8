"""Copies of layers in stock Keras classes."""

from collections.abc import Callable
from typing import Any

import keras

from snas_keras._utils import keras_objects


class Copies:
    """Copies of layers, one for each source layer.

    A layer that is used in several places, or by several models, has one copy,
    so that shared layers stay shared. Layers with a method `to_stock` are
    replaced by its result; all others are copied by their config.

    Args:
        kept: tuple of layer classes that are copied by their config although
            they have `to_stock`.
    """

    def __init__(self, kept: tuple[type, ...] = ()):
        self.kept = kept
        # A reference to the source, so that no other object gets its id.
        self._copies: dict[int, tuple[Any, Any]] = {}

    def __contains__(self, source: Any) -> bool:
        return id(source) in self._copies

    def of(self, source: Any, name: str | None = None) -> Any:
        """Return the copy of a layer or operation.

        Args:
            source: Keras layer, model or operation.
            name: str, name of a new copy, default the source's.

        Returns:
            Keras layer, model or operation; `inherit` copies the weights.

        Raises:
            ValueError: the source cannot be created from its config.
        """
        if source not in self:
            copy = self._made(source)
            copy.name = name or source.name
            self._copies[id(source)] = source, copy
        return self._copies[id(source)][1]

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a copied layer or operation, on copied variables too.

        An operation may be called on a layer's variable, as tied weights are.

        Args:
            layer: the copy.
            *args: of the call.
            **kwargs: of the call.

        Returns:
            What the call returns.
        """
        args, kwargs = keras.tree.map_structure(self._variable, (args, kwargs))
        return layer(*args, **kwargs)

    def _variable(self, value):
        if not isinstance(value, keras.Variable):
            return value
        for source, copy in list(self._copies.values()):
            is_it = [v is value for v in getattr(source, "weights", [])]
            if any(is_it):
                if not copy.built:
                    copy.build_from_config(source.get_build_config())
                return copy.weights[is_it.index(True)]
        return value

    def inherit(self) -> None:
        """Copy the state of all sources to their copies, which are built."""
        pairs = list(self._copies.values())
        for source, copy in pairs:
            # A model sets the flag of all its layers, so it comes before them.
            if isinstance(copy, keras.Model):
                copy.trainable = source.trainable
        for source, copy in pairs:
            is_layer = isinstance(copy, keras.layers.Layer)
            if is_layer and copy.built and not _is_open(source):
                keras_objects.carry(source, copy)

    def _made(self, source):
        if not isinstance(source, keras.layers.Layer):
            return type(source).from_config(source.get_config())
        if hasattr(source, "to_stock") and not isinstance(source, self.kept):
            return source.to_stock()
        if type(source) is keras.Sequential:
            return self._sequential(source)
        if _is_open(source):
            return self._functional(source)
        return keras_objects.rebuilt(source, self.of)

    def _sequential(self, source):
        parts = [self.of(layer) for layer in source.layers]
        if source.built:
            parts = [*map(_like, source.inputs), *parts]
        return keras.Sequential(parts, trainable=source.trainable)

    def _functional(self, source):
        if source.compiled:
            # Keras would compile the copy too, from a config.
            source = keras.Model(source.input, source.output)
        return clone(source, self.of, self.call)


def clone(
    model: keras.Model,
    clone_function: Callable[..., Any],
    call_function: Callable[..., Any] | None = None,
) -> keras.Model:
    """Run `keras.models.clone_model` on inputs equal to those of `model`.

    Args:
        model: functional keras.Model.
        clone_function: as for `keras.models.clone_model`.
        call_function: as for `keras.models.clone_model`.

    Returns:
        keras.Model.
    """
    inputs = {
        id(x.output): x
        for x in model.layers
        if isinstance(x, keras.layers.InputLayer)
    }

    def new_input(tensor):
        config = inputs[id(tensor)].get_config()
        return keras.layers.InputLayer.from_config(config).output

    return keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(new_input, model.input),
        clone_function=clone_function,
        call_function=call_function,
    )


def to_stock(layer: Any) -> Any:
    """Return an equal layer of stock Keras classes, without the weights.

    Args:
        layer: Keras layer, or a Sequential or functional model.

    Returns:
        Keras layer with new weights.

    Raises:
        ValueError: the layer cannot be created from its config.
    """
    return Copies().of(layer)


def is_own_to_user(layer: Any) -> bool:
    """Return whether a layer, or a sublayer, is of a user's class.

    Args:
        layer: Keras layer or model.

    Returns:
        bool; True for a `Lambda` too, whose function is the user's.
    """
    if isinstance(layer, keras.layers.Lambda):
        return True
    if not type(layer).__module__.startswith(("keras.", "snas_keras.")):
        return True
    return any(is_own_to_user(x) for x in keras_objects.sublayers(layer))


def has_assets(layer: Any) -> bool:
    """Say whether a layer has a part that saves more than variables.

    Args:
        layer: Keras layer or model.

    Returns:
        bool; True of layers with vocabularies.
    """
    parts = keras_objects.sublayers(layer)
    return hasattr(layer, "save_assets") or any(map(has_assets, parts))


def _is_open(layer):
    """Return whether this is a model whose layers are copied one by one."""
    if type(layer) is keras.Sequential:
        return True
    is_model = isinstance(layer, keras.Model) and hasattr(layer, "operations")
    return is_model and not isinstance(layer, keras.Sequential)


def _like(tensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype)
