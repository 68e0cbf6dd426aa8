"""Outputs of a supernet outside training: its mode, or an override."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras import spaces
from snas_keras._utils import keras_private, moved
from snas_keras._utils import names as names_lib
from snas_keras.supernet import _derivations


class Answers:
    """Mixin of `SuperNet`: the weights it is called with, and its child."""

    architecture: Any
    penalties: Any
    override: Any
    use_override: Any
    step: Any

    def mode(self) -> dict[str, Any]:
        """Return the one-hot weights of the child that `derive` names."""
        return self.penalties.mode(self.architecture)

    @property
    def limits(self) -> list[Any]:
        """The limits that the supernet was compiled with."""
        return self.penalties.limits

    def _weights(self):
        """The mode, or what `evaluate` was given, or a draw."""
        mode = self.mode()
        # Negative steps: no draw of the training.
        step = ops.minimum(ops.cast(self.use_override, "int32"), -1)
        drawn = self.architecture.sample(step)
        use = ops.convert_to_tensor(self.use_override)
        return {
            name: ops.where(
                use > 0, override, ops.where(use < 0, drawn[name], mode[name])
            )
            for name, override in self.override.items()
        }

    @property
    def losses(self) -> list[Any]:
        """What layers have added, and the weight regularizers.

        A regularizer counts by the weight of its candidate, so that the loss
        of the mode is that of the child. All are cast to the dtype of losses,
        for Keras adds up those of one dtype alone.
        """
        added = keras_private.added_losses(self)
        regularized = [
            (v, v.regularizer(v))
            for v in self.trainable_weights
            if v.regularizer is not None
        ]
        weights = self._drawn.weights_now() or self._weights()
        shared = [
            ops.cast(self._share(variable, weights), loss.dtype) * loss
            for variable, loss in regularized
        ]
        return [ops.cast(x, keras.config.floatx()) for x in added + shared]

    def _share(self, variable, weights):
        owners = self._run_candidates.owners.get(id(variable))
        if not owners:
            return 1.0
        return ops.minimum(1.0, sum(weights[name][k] for name, k in owners))

    def test_step(self, data: Any) -> Any:
        logs = super().test_step(data)
        # The next batch of `evaluate(weights="sample")` has its own draw.
        use = ops.convert_to_tensor(self.use_override)
        self.use_override.assign(ops.where(use < 0, use - 1.0, use))
        searched = [*self.search_metrics.metrics, *self.penalties.metrics]
        training_only = {m.name for m in searched}
        return {k: v for k, v in logs.items() if k not in training_only}

    def evaluate(self, *args: Any, weights: Any = None, **kwargs: Any) -> Any:
        """Evaluate the mode, or the network under given weights.

        Args:
            *args: passed to `keras.Model.evaluate`.
            weights: None for the mode; "sample" for a fresh draw for each
                batch, the paper's search validation; a Genotype or mapping
                {choice name: candidate name}; or a mapping {choice name:
                weights, shape (candidates,)}.
            **kwargs: passed to `keras.Model.evaluate`.

        Returns:
            What `keras.Model.evaluate` returns.

        Raises:
            ValueError: the weights or the genotype do not fit.
        """
        if weights is None:
            return super().evaluate(*args, **kwargs)
        if weights != "sample":
            self.set_override(weights)
        self.use_override.assign(-1.0 if weights == "sample" else 1.0)
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self.use_override.assign(0.0)

    def set_override(self, weights: Any) -> None:
        """Store the weights that replace the mode while `evaluate` runs.

        Args:
            weights: Genotype, mapping {choice name: candidate name} or mapping
                {choice name: weights}.

        Raises:
            ValueError: the weights do not fit.
        """
        if _is_genotype(weights):
            weights = self.architecture.one_hot(spaces.Genotype(weights))
        names_lib.check_weights(weights, self.architecture.choices)
        if self.architecture.estimator.runs_one_path:
            names_lib.check_one_hot(weights)
        for name, variable in self.override.items():
            variable.assign(weights[name])

    def give(self, weights: Any) -> None:
        """Store the weights that replace the mode. Deprecated.

        Args:
            weights: as for `set_override`.
        """
        moved.warn("SuperNet.give", "SuperNet.set_override")
        self.set_override(weights)

    def resource_loss(self, z: Any) -> Any:
        """Return the weighted sum of all penalties. Deprecated.

        Args:
            z: {choice name: tensor}, the draw of this step.

        Returns:
            float32 scalar tensor.
        """
        moved.warn("SuperNet.resource_loss(z)", "penalties.loss(...)")
        return self.penalties.loss(self.architecture, z, self.step)

    def derive(
        self, method: str | Callable[[Any], spaces.Genotype] = "within_limits"
    ) -> spaces.Genotype:
        """Return the Genotype of the child that the search has found.

        Args:
            method: str or function (supernet) -> Genotype, one of
                `snas_keras.DERIVATIONS`. Default "within_limits": the most
                probable child, or where it is above a limit that the supernet
                is compiled with, a probable child within.

        Returns:
            Genotype; ties go to the first candidate.

        Raises:
            ValueError: there is no such method, it does not fit the space, or
                the logits are not finite.

        Example:

        >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
        >>> snas_keras.build_supernet(space).derive()["block_0"]
        'conv_3x3'
        """
        function = _derivations.get(method)
        self.architecture.check_finite()
        return function(self)


class Drawn:
    """The weights that the network was last called with."""

    weights = None

    def weights_now(self) -> Any:
        """Return them, or None where they belong to a graph that is done."""
        if self.weights is None:
            return None
        is_eager = tf.executing_eagerly()
        symbolic = any(tf.is_symbolic_tensor(w) for w in self.weights.values())
        return None if is_eager and symbolic else self.weights


def _is_genotype(weights):
    return hasattr(weights, "values") and all(
        isinstance(value, str) for value in weights.values()
    )
