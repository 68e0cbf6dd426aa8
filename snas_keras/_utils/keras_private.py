"""The few private attributes of Keras that we need, each with the reason.

Masks travel as an attribute of tensors, and Keras exports no accessor for it.
Losses that a layer adds are read by `layer.losses`, which also has the weight
regularizers and cannot be emptied; a candidate's losses count by its weight, so
they must be told apart and taken away.
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
    """Give a tensor a mask.

    Args:
        tensor: tensor.
        mask: bool tensor, or None to leave it as it is.
    """
    if mask is not None:
        tensor._keras_mask = mask


def added_losses(layer: keras.layers.Layer) -> list[Any]:
    """Return what a layer and its parts have added by `add_loss`.

    Args:
        layer: Keras layer.

    Returns:
        list of scalar tensors; weight regularizers are not among them.
    """
    return [loss for part in layer._flatten_layers() for loss in part._losses]


def take_losses(layer: keras.layers.Layer) -> list[Any]:
    """Return what `added_losses` does, and leave the layer without.

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
    """Return the variables, weights aside, that a call may change.

    Keras does not track the states of stateful recurrent layers.

    Args:
        layer: Keras layer.

    Returns:
        list of variables.
    """
    states = [getattr(part, "states", None) for part in layer._flatten_layers()]
    found = [
        v for v in keras.tree.flatten(states) if isinstance(v, keras.Variable)
    ]
    return [*layer.non_trainable_variables, *found]


def reset_states(model: keras.layers.Layer) -> None:
    """Set the states of all stateful recurrent layers to zero.

    Args:
        model: Keras layer or model.
    """
    for part in model._flatten_layers():
        if isinstance(part, keras.layers.RNN) and part.stateful:
            part.reset_state()


def keep_when_loaded(archive: keras.export.ExportArchive) -> None:
    """Let what is loaded of an archive live until garbage is collected.

    TensorFlow's loaded functions hold their variables weakly. Without a cycle,
    tf.saved_model.load(path).serve(x) drops them before the call. Keras exports
    no way to the object that is saved.

    Args:
        archive: ExportArchive, not written yet.
    """
    archive._tf_trackable.itself = archive._tf_trackable


def slots(optimizer: keras.optimizers.Optimizer) -> dict[int, list[Any]]:
    """Return what an optimizer keeps for each variable.

    Keras keeps momenta and the like in lists beside the list of variables, and
    exports no way from a variable to what belongs to it.

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
