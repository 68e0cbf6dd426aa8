"""The supernet: all children of a search space trained at once."""

import logging
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras import layers, spaces
from snas_keras import training as training_lib
from snas_keras._utils import names as names_lib
from snas_keras.supernet import (
    _architecture,
    _credit,
    _derivations,
    _metrics,
    _optimizers,
    _penalties,
)

_LOGGER = logging.getLogger("snas_keras")


@keras.saving.register_keras_serializable(package="snas_keras")
class SuperNet(training_lib.MultiWorkerTraining, keras.Model):
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
        super().__init__(**kwargs)
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

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.network([inputs, self._weights()], training=training)

    def mode(self) -> dict[str, Any]:
        """Return the one-hot weights of the child that `derive` names."""
        return self.penalties.mode(self.architecture)

    @property
    def limits(self) -> list[Any]:
        """The limits that the supernet was compiled with."""
        return self.penalties.limits

    def _weights(self):
        """The mode, or what `evaluate` was given."""
        mode = self.mode()
        return {
            name: ops.where(self.use_override > 0, override, mode[name])
            for name, override in self.override.items()
        }

    def compile(
        self,
        optimizer: Any = "sgd",
        architecture_optimizer: Any = None,
        loss: Any = None,
        *,
        resource: Any = None,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Configure the search.

        Args:
            optimizer: Keras optimizer or its name, for the layers' weights,
                default "sgd" as in the paper. A `MultiOptimizer` is taken for
                both.
            architecture_optimizer: Keras optimizer or its name, for the
                logits. Default Adam(3e-4, beta_1=0.5), as in the paper's code.
            loss: as in `keras.Model.compile`.
            resource: Resource, or list of at most 8, default none.
            jit_compile: bool, whether XLA compiles the step, or "auto", the
                default: on a single GPU it does, on a CPU it does not, where
                its depthwise convolutions are many times slower. The logger
                "snas_keras" notes what was chosen.
            **kwargs: of `keras.Model.compile`, e.g. `metrics`,
                `steps_per_execution`.

        Raises:
            TypeError: `resource` is not made of Resource.
            ValueError: two resources have one name, a score function has no
                density, no child is within a limit, or an option that Keras
                cannot do under a distribution strategy.
        """
        optimizer = _optimizers.joint_optimizer(
            optimizer, architecture_optimizer
        )
        self._refuse_under_strategy(
            optimizer, {**kwargs, "jit_compile": jit_compile}
        )
        penalties = _penalties.Penalties(resource, self)
        with self.distribute_strategy.scope():
            super().compile(
                optimizer=optimizer,
                loss=loss,
                jit_compile=jit_compile,
                **kwargs,
            )
            self.asked_jit_compile = jit_compile
            _note_jit_compile(self.jit_compile)
            layers.share_traces(
                layers.mixed_edges(self.network),
                self.recompute,
                self.jit_compile,
            )
            self.penalties = penalties
            self.penalties.reset_weights()
            self.search_metrics = _metrics.SearchMetrics(
                bool(penalties.resources)
            )
            # Now, so that a file's optimizer state finds its variables.
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)

    def _refuse_under_strategy(self, optimizer, options):
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return
        refused = {
            "steps_per_execution above 1": options.get("steps_per_execution", 1)
            > 1,
            "jit_compile=True": options.get("jit_compile") is True,
            "gradient_accumulation_steps": any(
                o.gradient_accumulation_steps for o in optimizer.optimizers
            ),
        }
        for option, is_asked in refused.items():
            if is_asked:
                raise ValueError(
                    f"Keras does not support {option} under a distribution "
                    "strategy with several replicas. Received: "
                    f"{self.distribute_strategy.num_replicas_in_sync} replicas"
                )

    def get_compile_config(self) -> Any:
        config = super().get_compile_config()
        if config:
            # "auto" is asked again of the device that loads the file.
            config["jit_compile"] = self.asked_jit_compile
            config["resource"] = [
                keras.saving.serialize_keras_object(resource)
                for resource in self.penalties.resources
            ]
        return config

    def compile_from_config(self, config: Any) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def train_step(self, data: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        gradients, y_pred = self.compute_gradients(x, y, sample_weight)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.step.assign_add(1)
        self.penalties.update(self.architecture)
        self._log_architecture(_batch_size(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

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
        with tf.GradientTape() as tape:
            with tf.GradientTape() as penalty_tape:
                z = self.architecture.sample(self.step)
                resource_loss = self.penalties.loss(
                    self.architecture, z, self.step
                )
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

    def test_step(self, data: Any) -> Any:
        logs = super().test_step(data)
        searched = [*self.search_metrics.metrics, *self.penalties.metrics]
        training_only = {m.name for m in searched}
        return {k: v for k, v in logs.items() if k not in training_only}

    def evaluate(
        self,
        *args: Any,
        weights: Any = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Evaluate the mode, or the network under given weights.

        Args:
            *args: of `keras.Model.evaluate`.
            weights: None for the mode; "sample" for a fresh draw for each
                batch, the paper's search validation; a Genotype; or a mapping
                {choice name: weights, shape (candidates,)}.
            callbacks: of `keras.Model.evaluate`.
            **kwargs: of `keras.Model.evaluate`.

        Returns:
            What `keras.Model.evaluate` returns.

        Raises:
            ValueError: the weights or the genotype do not fit.
        """
        if weights is None:
            return super().evaluate(*args, callbacks=callbacks, **kwargs)
        if weights == "sample":
            callbacks = [*(callbacks or []), _DrawForEachBatch()]
        else:
            self.set_override(weights)
        self.use_override.assign(1.0)
        try:
            return super().evaluate(*args, callbacks=callbacks, **kwargs)
        finally:
            self.use_override.assign(0.0)

    def set_override(self, weights: Any) -> None:
        """Store the weights that replace the mode while `evaluate` runs.

        Args:
            weights: Genotype or mapping {choice name: weights}.

        Raises:
            ValueError: the weights do not fit.
        """
        if isinstance(weights, spaces.Genotype):
            weights = self.architecture.one_hot(weights)
        names_lib.check_weights(weights, self.architecture.choices)
        if self.architecture.estimator.runs_one_path:
            names_lib.check_one_hot(weights)
        for name, variable in self.override.items():
            variable.assign(weights[name])

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


def _note_jit_compile(is_on):
    gpus = len(tf.config.list_physical_devices("GPU"))
    note = "XLA is %s. GPUs: %d. `jit_compile` of `compile` sets it."
    level = logging.WARNING if is_on and not gpus else logging.INFO
    _LOGGER.log(level, note, "on" if is_on else "off", gpus)


class _DrawForEachBatch(keras.callbacks.Callback):
    def on_test_batch_begin(self, batch, logs=None):
        # Negative steps: no draw of the training.
        self.model.set_override(self.model.architecture.sample(-1 - batch))


def _batch_size(x):
    return tf.shape(keras.tree.flatten(x)[0])[0]
