"""Access to private attributes of Keras, each with the reason.

A mask is an attribute of its tensor, for which Keras exports no accessor.
`layer.losses` returns added losses together with weight regularizers and cannot
be cleared; a candidate's added losses are weighted, so they are read alone and
cleared.
"""

from typing import Any

import keras


def mask_of(tensor: Any) -> Any:
    """Return the mask of a tensor, or None.

    Args:
        tensor: tensor.

    Returns:
        bool tensor, usually of shape (batch, time), or None.
    """
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Any, mask: Any) -> None:
    """Set the mask of a tensor.

    Args:
        tensor: tensor.
        mask: bool tensor, or None to leave the tensor unchanged.
    """
    if mask is not None:
        tensor._keras_mask = mask


def added_losses(layer: keras.layers.Layer) -> list[Any]:
    """Return the losses that a layer and its sublayers added by `add_loss`.

    Args:
        layer: Keras layer.

    Returns:
        list of scalar tensors, without weight regularizers.
    """
    return [loss for part in layer._flatten_layers() for loss in part._losses]


def take_losses(layer: keras.layers.Layer) -> list[Any]:
    """Return and clear the added losses of a layer.

    Args:
        layer: Keras layer.

    Returns:
        list of scalar tensors.
    """
    losses = added_losses(layer)
    for part in layer._flatten_layers():
        part._losses.clear()
    return losses


def changing_state(layer: keras.layers.Layer) -> list[Any]:
    """Return the non-trainable variables that a call may change.

    Keras does not track the states of stateful recurrent layers, and lists
    those of a layer's own metrics apart.

    Args:
        layer: Keras layer.

    Returns:
        list of variables.
    """
    states = [getattr(part, "states", None) for part in layer._flatten_layers()]
    found = [
        v for v in keras.tree.flatten(states) if isinstance(v, keras.Variable)
    ]
    return [*layer.non_trainable_variables, *found, *layer.metrics_variables]


def reset_states(model: keras.layers.Layer) -> None:
    """Set the states of all stateful recurrent layers to zero.

    Args:
        model: Keras layer or model.
    """
    for part in model._flatten_layers():
        if isinstance(part, keras.layers.RNN) and part.stateful:
            part.reset_state()


def keep_when_loaded(archive: keras.export.ExportArchive) -> None:
    """Keep the variables of a loaded archive alive during a call.

    TensorFlow's loaded functions hold their variables weakly: without a
    reference cycle, tf.saved_model.load(path).serve(x) frees them before the
    call. Keras exports no accessor for the saved object.

    Args:
        archive: ExportArchive, not yet written.
    """
    archive._tf_trackable.itself = archive._tf_trackable


def slots(optimizer: keras.optimizers.Optimizer) -> dict[int, list[Any]]:
    """Return the slot variables of an optimizer, such as momenta.

    Keras keeps them in lists parallel to the list of variables, and exports no
    lookup by variable.

    Args:
        optimizer: Keras optimizer, built.

    Returns:
        {id of a variable: list of variables}.
    """
    variables = optimizer._trainable_variables
    found: dict[int, list[Any]] = {id(v): [] for v in variables}
    for name, value in vars(optimizer).items():
        is_list = isinstance(value, (list, tuple))
        if name == "_trainable_variables" or not is_list:
            continue
        if name == "_accumulated_gradients" or len(value) != len(variables):
            continue
        for variable, slot in zip(variables, value, strict=True):
            if isinstance(slot, keras.Variable):
                found[id(variable)].append(slot)
    return found
