"""The supernet: all children of a search space trained at once."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras import layers
from snas_keras import training as training_lib
from snas_keras._utils import names as names_lib
from snas_keras.supernet import (
    _answers,
    _architecture,
    _compilation,
    _credit,
    _metrics,
    _optimizers,
    _outcome,
    _penalties,
    _run_candidates,
)


@keras.saving.register_keras_serializable(package="snas_keras")
class SuperNet(
    _answers.Answers,
    _compilation.Compilation,
    training_lib.MultiWorkerTraining,
    keras.Model,
):
    """All children of a search space, and the distribution over them.

    Training draws the weights of all edges once a step, and moves the weights
    of the layers and the logits of the architecture in one backward pass:

        z = architecture.sample(step)
        loss = task loss(network(x, z), y) + resource loss

    Outside training the supernet answers as its mode, the child that `derive`
    names.

    Args:
        network: functional Keras model, [inputs, {choice: weights}] -> outputs.
        architecture: Architecture of the same choices.
        recompute: bool, as for `build_supernet`, default False.
        resource: as for `compile`; its limits hold for what a supernet that
            is not compiled answers. Default None.
        **kwargs: passed to `keras.Model`.

    Reference:
        Xie, Zheng, Liu, Lin, "SNAS: Stochastic Neural Architecture Search",
        2019, https://arxiv.org/abs/1812.09926.
    """

    def __init__(
        self,
        network: Any,
        architecture: _architecture.Architecture,
        recompute: bool = False,
        resource: Any = None,
        **kwargs: Any,
    ):
        # Inputs keep their dtypes; the layers cast for themselves.
        super().__init__(autocast=False, **kwargs)
        if architecture.name != _architecture.NAME:
            raise ValueError(
                "The architecture of a SuperNet must keep its name "
                f"{_architecture.NAME!r}, by which its optimizer is found. "
                f"Received: name={architecture.name!r}"
            )
        layers.share_traces(layers.mixed_edges(network), recompute)
        self.recompute = recompute
        self.network = network
        self.architecture = architecture
        self.search_metrics = _metrics.SearchMetrics()
        self.credit = _credit.Credit(architecture.choices)
        # The number of training steps so far, whatever the optimizer skipped.
        self.step = self._counter("step", "int64")
        self.override = {
            name: self._override(name, len(candidates))
            for name, candidates in architecture.choices.items()
        }
        self.use_override = self._counter("use_override", "float32")
        # Of a fixed size, so that a file's state fits whatever was compiled.
        self.resource_weights = self._counter(
            "resource_weights", "float32", (_penalties.MAX_RESOURCES,)
        )
        self.penalties = _penalties.Penalties(resource, self)
        self.output_names = network.output_names
        self._drawn = _answers.Drawn()
        self._run_candidates = _run_candidates.RunCandidates(
            layers.mixed_edges(network)
        )
        self.built = True

    def _counter(self, name, dtype, shape=()):
        return self.add_weight(
            shape=shape,
            initializer="zeros",
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    def _override(self, name, size):
        return self.add_weight(
            shape=(size,),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=f"override_{names_lib.scope_name(name)}",
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any(
            isinstance(x, keras.KerasTensor)
            for x in keras.tree.flatten((args, kwargs))
        ):
            raise ValueError(
                f"SuperNet {self.name!r} cannot be a layer of another model, "
                "which would train one of its children alone. Write the "
                "larger model as a search space, or put its child there: "
                "snas_keras.convert(supernet)."
            )
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        weights = self._weights()
        if training:
            # A training loop of the user's own: each call is a step.
            weights = self.architecture.sample(self.step)
            self.step.assign_add(1)
        self._drawn.weights = weights
        return self.network([inputs, weights], training=training)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *args: Any,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Search: `keras.Model.fit`, under which the logits learn too.

        A `LearningRateScheduler` sets the rate of the weights alone. Where the
        search has plainly come to nothing, it ends with a
        `snas_keras.SearchWarning` that says what to do.

        Args:
            x: as for `keras.Model.fit`.
            y: as for `keras.Model.fit`.
            *args: passed to `keras.Model.fit`.
            callbacks: as for `keras.Model.fit`.
            **kwargs: passed to `keras.Model.fit`.

        Returns:
            keras.callbacks.History.
        """
        callbacks = _optimizers.with_logits_rate(callbacks)
        history = super().fit(x, y, *args, callbacks=callbacks, **kwargs)
        if self.distribute_strategy.num_replicas_in_sync == 1:
            _outcome.warn_of_outcome(self, history, x, y)
        return history

    def train_step(self, data: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        gradients, y_pred = self.compute_gradients(x, y, sample_weight)
        self._apply(gradients)
        self.step.assign_add(1)
        self.penalties.update(self.architecture)
        self._log_architecture(_batch_size(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _apply(self, gradients):
        variables = self.trainable_variables
        one_replica = self.distribute_strategy.num_replicas_in_sync == 1
        runs_one_path = self.architecture.estimator.runs_one_path
        if runs_one_path:
            gradients = self._run_candidates.filled(variables, gradients)
        pairs = zip(gradients, variables, strict=True)
        if not (one_replica and runs_one_path):
            self.optimizer.apply_gradients(pairs)
            return
        before = self._run_candidates.before(
            self.optimizer, self._drawn.weights
        )
        self.optimizer.apply_gradients(pairs)
        self._run_candidates.restore(before)

    def compute_gradients(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> tuple[list[Any], Any]:
        """Return the gradients of one training step, and the outputs.

        This is all of a step that tells one search from another: override it
        to hold the logits still, to perturb them, or to take their gradients
        on other data. It draws the weights of the candidates, and logs the
        losses and the credit.

        Args:
            x: inputs, shape (batch, ...) each.
            y: targets, shape (batch, ...) each, or None.
            sample_weight: shape (batch,), default None.

        Returns:
            (gradients, outputs): a list, one for each of
            `trainable_variables`, times the loss scale; and what the network
            gives for `x`, for the metrics.

        Example:

        >>> class WeightsOnly(snas_keras.SuperNet):
        ...     def compute_gradients(self, x, y, sample_weight=None):
        ...         gradients, y_pred = super().compute_gradients(x, y)
        ...         logits = {id(v) for v in self.architecture.variables}
        ...         still = [id(v) in logits for v in self.trainable_variables]
        ...         pairs = zip(gradients, still)
        ...         return [g * (not s) for g, s in pairs], y_pred
        """
        replicas = self.distribute_strategy.num_replicas_in_sync
        x = keras.tree.map_structure(ops.convert_to_tensor, x)
        with tf.GradientTape() as tape:
            with tf.GradientTape() as penalty_tape:
                z = self.architecture.sample(self.step)
                resource_loss = self.penalties.loss(
                    self.architecture, z, self.step
                )
            self._drawn.weights = z
            y_pred = self.network([x, z], training=True)
            task_loss = self.compute_loss(x, y, y_pred, sample_weight)
            # Gradients are summed over replicas; the draw is the same on all.
            loss = task_loss + ops.cast(
                resource_loss / replicas, task_loss.dtype
            )
            scaled = self.optimizer.scale_loss(loss)
        by_choice = [z, self.architecture.logits]
        gradients, *total = tape.gradient(
            scaled, [self.trainable_variables, *by_choice]
        )
        penalty = penalty_tape.gradient(resource_loss, by_choice)
        self.credit.update(
            z,
            total,
            penalty,
            replicas / self.optimizer.scale_loss(1.0),
            self.architecture.estimator.runs_one_path,
        )
        self._log_losses(task_loss * replicas, resource_loss, _batch_size(x))
        return gradients, y_pred

    def _log_losses(self, task_loss, resource_loss, batch_size):
        self._loss_metric().update_state(
            task_loss + ops.cast(resource_loss, task_loss.dtype),
            sample_weight=batch_size,
        )
        self.search_metrics.log_losses(task_loss, resource_loss, batch_size)

    def _log_architecture(self, batch_size):
        self.search_metrics.log_entropy(self.architecture, batch_size)
        self.penalties.log(self.architecture, self.mode(), batch_size)

    def _loss_metric(self):
        return next(m for m in self.metrics if m.name == "loss")

    @property
    def metrics(self) -> list[Any]:
        return [
            *super().metrics,
            *self.search_metrics.metrics,
            *self.penalties.metrics,
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "architecture": keras.saving.serialize_keras_object(
                self.architecture
            ),
            "recompute": self.recompute,
            "resource": [
                keras.saving.serialize_keras_object(limit.resource)
                for limit in self.limits
            ],
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SuperNet":
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("network", "architecture", "resource")
            if key in config
        }
        return cls(**{**config, **parts})


def _batch_size(x):
    return tf.shape(keras.tree.flatten(x)[0])[0]
