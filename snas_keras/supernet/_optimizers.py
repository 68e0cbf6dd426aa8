"""One optimizer for the weights, one for the logits."""

from typing import Any

import keras

from snas_keras.supernet import _architecture


def joint_optimizer(optimizer: Any, architecture_optimizer: Any) -> Any:
    """Route the logits to their own optimizer by their variables' path.

    Args:
        optimizer: Keras optimizer or its name, for the weights, or a
            `MultiOptimizer` for both.
        architecture_optimizer: Keras optimizer or its name, for the logits;
            None for Adam(3e-4, beta_1=0.5).

    Returns:
        keras.optimizers.MultiOptimizer.

    Raises:
        ValueError: an optimizer for the logits beside a `MultiOptimizer`.
    """
    optimizer = keras.optimizers.get(optimizer)
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
    pattern = rf"(.*/)?{_architecture.NAME}/.*"
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            optimizer, {pattern: architecture_optimizer}
        )
    )
