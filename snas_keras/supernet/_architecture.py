"""The distribution over child networks, p(Z | logits), as one Keras layer."""

import collections
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from snas_keras import estimators, spaces
from snas_keras._utils import checks, moved
from snas_keras._utils import names as names_lib
from snas_keras.supernet import _distribution

# The optimizer of the logits is found by this name in their path; no layer of
# a user is likely to have it.
NAME = "snas_architecture"


@keras.saving.register_keras_serializable(package="snas_keras")
class Architecture(keras.layers.Layer):
    """The distribution over the children of a search space.

    Every choice is an independent categorical variable with its own logits:

        p(Z | logits) = prod_choice softmax(logits_choice)[Z_choice]

    The layer holds no hidden random state. A draw is a pure function of the
    seed, the step and the place of the choice, so that a search that was
    interrupted draws what it would have drawn, and all replicas draw the same.
    Logits, temperature and draws are float32 under every dtype policy.

    Args:
        choices: mapping of str to sequence of str, {choice name: candidate
            names}.
        estimator: str or function (logits, temperature, seed) -> weights, one
            of `snas_keras.ESTIMATORS`. Default "relaxed", which is SNAS.
        temperature: float above zero, of the relaxation, default 1.0 as in the
            paper; `TemperatureSchedule` lowers it during the search.
        seed: int, default 0.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        step: int scalar, the training step whose draw is wanted.
        training: bool. In training the draw of `sample(step)`, else `mode()`.

    Returns:
        {choice name: float32 tensor, shape (candidates,)}.

    Raises:
        ValueError: no choices or candidates, a name that is empty or has a
            "/", repeated candidates, or a temperature not above zero.
        TypeError: a name is not a str, or the seed is not an int.

    Example:

    >>> architecture = Architecture({"block": ["conv", "skip"]})
    >>> architecture.probabilities()["block"].numpy().tolist()
    [0.5, 0.5]

    Reference:
        Xie, Zheng, Liu, Lin, "SNAS: Stochastic Neural Architecture Search",
        2019, https://arxiv.org/abs/1812.09926.
    """

    def __init__(
        self,
        choices: Mapping[str, Any],
        estimator: Any = "relaxed",
        temperature: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", NAME)
        super().__init__(**kwargs)
        self.choices = names_lib.check_choices(choices)
        self.estimator = estimators.get(estimator)
        self.initial_temperature = checks.check_temperature(temperature)
        self.seed = _check_seed(seed)
        self.logits = {
            name: self._float32(
                len(candidates), "zeros", True, names_lib.scope_name(name)
            )
            for name, candidates in self.choices.items()
        }
        initial = keras.initializers.Constant(self.initial_temperature)
        self.temperature = self._float32(None, initial, False, "temperature")
        self.built = True

    def _float32(self, size, initializer, trainable, name):
        return self.add_weight(
            shape=() if size is None else (size,),
            initializer=initializer,
            trainable=trainable,
            dtype="float32",
            autocast=False,
            name=name,
        )

    def call(self, step: Any, training: bool = False) -> dict[str, Any]:
        return self.sample(step) if training else self.mode()

    def sample(self, step: Any, estimator: Any = None) -> dict[str, Any]:
        """Draw the weights of all candidates.

        Args:
            step: int scalar, python or tensor; each step has its own draw.
            estimator: str or function that replaces the architecture's own for
                this draw.

        Returns:
            {choice name: float32 tensor, shape (candidates,)}.
        """
        function = estimators.get(estimator or self.estimator)
        return self._draw(function, step)

    def log_density(self, step: Any) -> dict[str, Any]:
        """Give log p(draw of this step | logits), the draw held constant.

        Its gradient with respect to the logits is the score.

        Args:
            step: int scalar, the step of the draw.

        Returns:
            {choice name: float32 scalar tensor}.

        Raises:
            ValueError: the estimator draws from no known density.
        """
        return self._draw(self.score_function(), step)

    def score_function(self) -> Callable[..., Any]:
        """Return the estimator's log density, or refuse one without."""
        if self.estimator.log_density is None:
            known = [
                name
                for name, estimator in estimators.ESTIMATORS.items()
                if estimator.log_density is not None
            ]
            raise ValueError(
                "The score function needs an estimator that draws from a known "
                f"density. Received: estimator={self.estimator!r}. Allowed: "
                f"{known}"
            )
        return self.estimator.log_density

    def _draw(self, function, step):
        temperature = tf.convert_to_tensor(self.temperature)

        def drawn(logits, size):
            seed = estimators.fold_seed(self.seed, step, size)
            return function(logits, temperature, seed)

        return self._by_size(drawn)

    def _by_size(self, function):
        """Apply `function(logits, size)` once to all choices of equal size.

        One batched draw has thirteen times fewer graph nodes than one for each
        choice.
        """
        groups = collections.defaultdict(list)
        for name, candidates in self.choices.items():
            groups[len(candidates)].append(name)
        found = {}
        for size, names in groups.items():
            logits = tf.stack(
                [tf.convert_to_tensor(self.logits[name]) for name in names]
            )
            rows = tf.unstack(function(logits, size))
            found.update(zip(names, rows, strict=True))
        return {name: found[name] for name in self.choices}

    def probabilities(self) -> dict[str, Any]:
        """Return {choice name: softmax(logits)}, shape (candidates,) each."""
        return self._by_size(lambda logits, size: tf.nn.softmax(logits))

    def entropy(self) -> dict[str, Any]:
        """Return the entropy of every choice, in nats.

            H = -sum_k p_k log p_k,  from 0 to log K

        Returns:
            {choice name: float32 scalar tensor}.
        """
        return self._by_size(
            lambda logits, size: (
                -ops.sum(
                    tf.nn.softmax(logits) * tf.nn.log_softmax(logits), axis=-1
                )
            )
        )

    def mode(self) -> dict[str, Any]:
        """Return {choice name: one_hot(argmax logits)}; the first wins ties."""
        return self._by_size(
            lambda logits, size: ops.one_hot(
                ops.argmax(logits, axis=-1), size, dtype="float32"
            )
        )

    def one_hot(self, genotype: Mapping[str, str]) -> dict[str, Any]:
        """Return the weights that select a genotype's candidates.

        Args:
            genotype: Genotype or mapping {choice name: candidate name}.

        Returns:
            {choice name: float32 tensor, shape (candidates,)}.

        Raises:
            ValueError: the genotype does not fit the choices.
        """
        return {
            name: ops.one_hot(index, len(self.choices[name]), dtype="float32")
            for name, index in self._indices(genotype).items()
        }

    def log_prob(self, genotype: Mapping[str, str]) -> Any:
        """Return log p(genotype | logits), in nats.

            log p = sum_choice log softmax(logits_choice)[candidate]

        Args:
            genotype: Genotype or mapping {choice name: candidate name}.

        Returns:
            float32 scalar tensor.

        Raises:
            ValueError: the genotype does not fit the choices.
        """
        return sum(
            ops.log_softmax(self.logits[name])[index]
            for name, index in self._indices(genotype).items()
        )

    def distribution(self) -> _distribution.Distribution:
        """Return p(Z | logits) as it stands, as a `Distribution`.

        Example:

        >>> architecture = Architecture({"block": ["conv", "skip"]})
        >>> architecture.distribution().margin()
        {'block': 0.0}
        """
        logits = {name: np.array(v) for name, v in self.logits.items()}
        return _distribution.Distribution(self.choices, logits)

    def derive(self) -> spaces.Genotype:
        """Return the mode as a Genotype. Deprecated.

        It equals `SuperNet.derive("mode")`, and differs from the default of
        `SuperNet.derive` under a limit.
        """
        moved.warn("Architecture.derive()", "SuperNet.derive('mode')")
        self.check_finite()
        return spaces.Genotype(
            {
                name: candidates[int(np.argmax(self.logits[name]))]
                for name, candidates in self.choices.items()
            }
        )

    def check_finite(self) -> None:
        """Raise ValueError if a logit is not a finite number."""
        bad = [
            name
            for name, logits in self.logits.items()
            if not np.isfinite(np.array(logits)).all()
        ]
        if bad:
            raise ValueError(
                "The logits are not finite: the search has diverged, and says "
                f"nothing of its children. Received: choices {bad[:5]}. Look "
                "for NaN in the data, lower the learning rates or clip the "
                "gradients, and search again from the last good checkpoint."
            )

    def _indices(self, genotype):
        genotype = spaces.Genotype(genotype).check(self.choices)
        return {
            name: candidates.index(genotype[name])
            for name, candidates in self.choices.items()
        }

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            choices={k: list(v) for k, v in self.choices.items()},
            estimator=estimators.serialize(self.estimator),
            temperature=self.initial_temperature,
            seed=self.seed,
        )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Architecture":
        estimator = estimators.deserialize(config["estimator"])
        return cls(**{**config, "estimator": estimator})


def _check_seed(seed):
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"`seed` must be an int. Received: seed={seed!r}")
    return seed
