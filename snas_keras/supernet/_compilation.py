"""Compilation of a supernet."""

import logging
from typing import Any

import keras
import tensorflow as tf

from snas_keras import layers
from snas_keras._utils import keras_objects
from snas_keras.supernet import _metrics, _optimizers, _penalties

_LOGGER = logging.getLogger("snas_keras")


class CompileArguments:
    """What the user gave `compile` for loss and metrics, as it was given.

    Args:
        loss: as for `keras.Model.compile`.
        options: dict, all other arguments.
    """

    def __init__(self, loss: Any = None, options: Any = None):
        options = options or {}
        self._loss = loss
        self._weights = options.get("loss_weights")
        self._metrics = options.get("metrics")
        self._weighted_metrics = options.get("weighted_metrics")

    def for_child(self) -> dict[str, Any]:
        """Return the arguments for a child: metrics with a state of their own.

        Losses and functions are the user's own objects; nothing is loaded, so
        that nothing has to be registered.
        """
        return {
            "loss": self._loss,
            "loss_weights": self._weights,
            "metrics": _fresh(self._metrics),
            "weighted_metrics": _fresh(self._weighted_metrics),
        }


def _fresh(metrics):
    def fresh(metric):
        is_metric = isinstance(metric, keras.metrics.Metric)
        return keras_objects.rebuilt(metric) if is_metric else metric

    return keras.tree.map_structure(fresh, metrics)


class Compilation:
    """Mixin of `SuperNet`: two optimizers, penalties, and XLA."""

    network: Any
    penalties: Any
    recompute: bool
    compile_arguments = CompileArguments()

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
                A loss in its place is understood: compile("adam", "mse").
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
        architecture_optimizer, loss = _optimizers.check_order(
            architecture_optimizer, loss
        )
        optimizer = _optimizers.joint_optimizer(
            optimizer, architecture_optimizer
        )
        if kwargs.get("auto_scale_loss", True):
            optimizer = _optimizers.scaled(optimizer, self.dtype_policy.name)
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
            self.compile_arguments = CompileArguments(loss, kwargs)
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
                o.gradient_accumulation_steps
                for o in _optimizers.parts(optimizer)
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


def _note_jit_compile(is_on):
    gpus = len(tf.config.list_physical_devices("GPU"))
    note = "XLA is %s. GPUs: %d. `jit_compile` of `compile` sets it."
    level = logging.WARNING if is_on and not gpus else logging.INFO
    _LOGGER.log(level, note, "on" if is_on else "off", gpus)
