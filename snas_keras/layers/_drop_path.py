"""Drop path regularization."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from snas_keras._utils import checks


@keras.saving.register_keras_serializable(package="snas_keras")
class DropPath(keras.layers.Layer):
    """Drop path: in training, zero an edge for random examples.

        y = x keep / (1 - rate),  keep ~ Bernoulli(1 - rate) for each example

    The mean of y is x. The rate is a variable, so that `DropPathSchedule` can
    raise it without a new trace. `convert` replaces the layer by a stock
    `Dropout` of fixed rate.

    Args:
        rate: float, at least 0 and below 1, probability to drop.
        seed: int, default None: a random seed.
        **kwargs: passed to `keras.layers.Layer`.

    Raises:
        ValueError: `rate` is out of range.

    Reference:
        Larsson, Maire, Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks
        without Residuals", 2017, https://arxiv.org/abs/1605.07648.
    """

    is_inert = True

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial_rate = checks.drop_rate(rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.rate = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(rate),
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="rate",
        )

    def build(self, input_shape: Any) -> None:
        self.rank = len(input_shape)

    def call(self, inputs: Any, training: Any = False) -> Any:
        if not training:
            return inputs
        kept = 1.0 - tf.convert_to_tensor(self.rate)
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        drawn = keras.random.uniform(
            shape, dtype="float32", seed=self.seed_generator
        )
        mask = ops.floor(drawn + kept) / kept
        return inputs * ops.cast(mask, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def to_stock(self) -> Any:
        """Return an equal layer of stock Keras classes, at the present rate."""
        noise_shape = (None, *[1] * (self.rank - 1))
        return keras.layers.Dropout(
            float(self.rate), noise_shape, self.seed, dtype=self.dtype_policy
        )

    def get_config(self) -> dict[str, Any]:
        config = {"rate": self.initial_rate, "seed": self.seed}
        return {**super().get_config(), **config}
