"""One optimizer for the weights, one for the logits."""

import inspect
import types
import warnings
from typing import Any

import keras

from snas_keras.supernet import _architecture

# So that `compile` can tell an optimizer from a loss.
_OPTIMIZERS = {
    name.lower()
    for name, found in vars(keras.optimizers).items()
    if inspect.isclass(found)
}


@keras.saving.register_keras_serializable(package="snas_keras")
class ScaledOptimizer(keras.optimizers.LossScaleOptimizer):
    """A loss scale around a joint optimizer, whose parts callbacks can find.

    Those of Keras that move a learning rate ask a model's optimizer for them.
    """

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return self.inner_optimizer.optimizers


def scaled(optimizer: Any, policy: str) -> Any:
    """Scale the loss of a joint optimizer where Keras would for a policy.

    Args:
        optimizer: Keras optimizer, as `joint_optimizer` returns it.
        policy: str, the name of the model's dtype policy.

    Returns:
        Keras optimizer.
    """
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if policy != "mixed_float16" or is_scaled:
        return optimizer
    return ScaledOptimizer(optimizer, name="loss_scale_optimizer")


def joint_optimizer(optimizer: Any, architecture_optimizer: Any) -> Any:
    """Route the logits to their own optimizer by their variables' path.

    Args:
        optimizer: Keras optimizer or its name, for the weights. Of a
            `LossScaleOptimizer` the one inside is taken, and the joint one is
            scaled as it was. A `MultiOptimizer` is taken for both.
        architecture_optimizer: Keras optimizer or its name, for the logits, or
            None for Adam(3e-4, beta_1=0.5), as in the paper's code.

    Returns:
        keras.optimizers.Optimizer; that of the logits is the first of its
        `optimizers`.

    Raises:
        ValueError: a MultiOptimizer and another one are given.
    """
    optimizer = keras.optimizers.get(optimizer)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return ScaledOptimizer(
            joint_optimizer(optimizer.inner_optimizer, architecture_optimizer),
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        if architecture_optimizer is not None:
            raise ValueError(
                "`architecture_optimizer` must be None where `optimizer` is a "
                f"MultiOptimizer. Received: {architecture_optimizer!r}"
            )
        return optimizer
    if architecture_optimizer is None:
        architecture_optimizer = keras.optimizers.Adam(3e-4, beta_1=0.5)
    architecture_optimizer = keras.optimizers.get(architecture_optimizer)
    if isinstance(architecture_optimizer, keras.optimizers.LossScaleOptimizer):
        architecture_optimizer = architecture_optimizer.inner_optimizer
    pattern = rf"(.*/)?{_architecture.NAME}/.*"
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            optimizer, {pattern: architecture_optimizer}
        )
    )


def parts(optimizer: Any) -> list[Any]:
    """Return the optimizers inside a joint one, that of the logits first.

    Args:
        optimizer: Keras optimizer, as `joint_optimizer` returns it.

    Returns:
        list of Keras optimizers.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return list(getattr(optimizer, "optimizers", [optimizer]))


def check_order(architecture_optimizer: Any, loss: Any) -> tuple[Any, Any]:
    """Understand `compile("adam", "mse")`, the order of `keras.Model`.

    Args:
        architecture_optimizer: the second argument of `compile`.
        loss: the third.

    Returns:
        (architecture_optimizer, loss).

    Raises:
        ValueError: the second is no optimizer, and there is a third.
    """
    if architecture_optimizer is None or _is_optimizer(architecture_optimizer):
        return architecture_optimizer, loss
    if loss is not None:
        raise ValueError(
            "`compile` of a SuperNet takes (optimizer, architecture_optimizer, "
            "loss); give metrics and all else by their names. Received: "
            f"architecture_optimizer={architecture_optimizer!r}, loss={loss!r}"
        )
    return None, architecture_optimizer


def _is_optimizer(value):
    if isinstance(value, str):
        return value.lower() in _OPTIMIZERS
    is_config = isinstance(value, dict) and "class_name" in value
    return is_config or isinstance(value, keras.optimizers.Optimizer)


class _OfWeights:
    """A model as it is, but for its optimizer: that of the weights alone."""

    def __init__(self, model):
        self._model = model
        self.optimizer = types.SimpleNamespace(
            optimizers=parts(model.optimizer)[1:]
        )

    def __getattr__(self, name):
        return getattr(self._model, name)


class KeepsLogitsRate(keras.callbacks.Callback):
    """Let a `LearningRateScheduler` set the rate of the weights alone.

    It gives rates as they are, for the weights, and Keras sets them on every
    optimizer. (`ReduceLROnPlateau` multiplies; it moves both.)

    Args:
        schedulers: list of keras.callbacks.LearningRateScheduler.
    """

    def __init__(self, schedulers: Any):
        super().__init__()
        self.schedulers = schedulers

    def on_train_begin(self, logs: Any = None) -> None:
        rate = parts(self.model.optimizer)[0].learning_rate
        rate = float(keras.ops.convert_to_numpy(rate))
        warnings.warn(
            "LearningRateScheduler sets the learning rate of the weights. The "
            f"logits keep theirs, {rate:g}; give their optimizer a "
            "schedule to change it.",
            stacklevel=2,
        )
        for scheduler in self.schedulers:
            scheduler.set_model(_OfWeights(self.model))

    def on_train_end(self, logs: Any = None) -> None:
        for scheduler in self.schedulers:
            scheduler.set_model(self.model)


def with_logits_rate(callbacks: Any) -> Any:
    """Return the callbacks of `fit`, so that schedules leave the logits' rate.

    Args:
        callbacks: as for `keras.Model.fit`.

    Returns:
        The same, with `KeepsLogitsRate` where there is a scheduler.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        schedulers = _schedulers(callbacks.callbacks)
        if schedulers:
            callbacks.append(KeepsLogitsRate(schedulers))
            callbacks.set_model(callbacks.model)
        return callbacks
    listed = keras.tree.flatten(callbacks)
    schedulers = _schedulers(listed)
    return [*listed, KeepsLogitsRate(schedulers)] if schedulers else callbacks


def _schedulers(callbacks):
    scheduler = keras.callbacks.LearningRateScheduler
    return [x for x in callbacks if isinstance(x, scheduler)]
