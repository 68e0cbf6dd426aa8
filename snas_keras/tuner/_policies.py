"""Policies: distributions over children that learn from scores of trials."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from snas_keras import supernet as supernet_lib
from snas_keras._utils import names as names_lib


class IndependentPolicy(supernet_lib.Distribution):
    """One categorical for each choice: SNAS' own p(Z | logits).

    A score moves the logits along the score function, whose mean is the
    gradient of the expected score, without any relaxation:

        logits += rate * advantage * (one_hot(z) - softmax(logits))

    Args:
        choices: {choice name: candidate names}.
        logits: {choice name: list of float}, default zeros: all alike.
        learning_rate: float, default 0.1: some 100 trials decide a choice
            between four candidates.

    Example:

    >>> policy = IndependentPolicy({"edge": ["a", "b"]}, learning_rate=1.0)
    >>> policy.learn({"edge": "b"}, advantage=2.0)
    >>> policy.logits["edge"].tolist()
    [-1.0, 1.0]

    Reference:
        Xie, Zheng, Liu, Lin, "SNAS: Stochastic Neural Architecture Search",
        2019, https://arxiv.org/abs/1812.09926.
    """

    def __init__(
        self,
        choices: Mapping,
        logits: Mapping | None = None,
        learning_rate: float = 0.1,
    ):
        super().__init__(choices, logits)
        self.learning_rate = learning_rate

    def gradient(self, values: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Return the gradient of `log_prob` with respect to the logits.

        Args:
            values: {choice name: candidate name}.

        Returns:
            {choice name: float64 array, shape (candidates,)}.
        """
        gradients = {name: -p for name, p in self.probabilities().items()}
        for name, index in _indices(self.choices, values).items():
            gradients[name][index] += 1.0
        return gradients

    def learn(self, values: Mapping[str, str], advantage: float) -> None:
        """Make `values` likelier; less likely where the advantage is negative.

        Args:
            values: {choice name: candidate name}.
            advantage: float, score less what was to be expected.
        """
        for name, gradient in self.gradient(values).items():
            self.logits[name] += self.learning_rate * advantage * gradient

    def get_state(self) -> dict[str, list]:
        """Return what has been learned, as JSON can hold it."""
        return {name: v.tolist() for name, v in self.logits.items()}

    def set_state(self, state: dict[str, list]) -> None:
        """Take up what `get_state` has returned.

        Args:
            state: as `get_state` returns it.
        """
        self.logits = {name: np.array(v) for name, v in state.items()}


class RecurrentPolicy:
    """A recurrent controller: every choice may depend on those before it.

    A one-layer LSTM reads the last candidate selected, one-hot, zeros at first;
    a softmax gives the candidates of the next choice:

        p(Z) = prod_t p(z_t | z_1, ..., z_(t-1))

    It learns by the score function through Adam.

    Args:
        choices: {choice name: candidate names}.
        logits: {choice name: list of float}, where it starts: the biases of the
            softmax, whose other weights start at zero. Default zeros.
        learning_rate: float, of Adam, default 0.01.
        units: int, of the LSTM, default 32.
        seed: int, of the initial weights, default 0.

    Reference:
        Hsu et al., "MONAS: Multi-Objective Neural Architecture Search using
        Reinforcement Learning", 2018, https://arxiv.org/abs/1806.10332.
    """

    def __init__(
        self,
        choices: Mapping,
        logits: Mapping | None = None,
        learning_rate: float = 0.01,
        units: int = 32,
        seed: int = 0,
    ):
        self.choices = names_lib.check_choices(choices)
        self.width = max(len(c) for c in self.choices.values())
        self.units = units
        self.cell = keras.layers.LSTMCell(
            units,
            kernel_initializer=keras.initializers.GlorotUniform(seed),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seed),
            dtype="float32",
        )
        self.cell.build((1, self.width))
        self.heads = {}
        for name, candidates in self.choices.items():
            head = keras.layers.Dense(
                len(candidates), kernel_initializer="zeros", dtype="float32"
            )
            head.build((1, units))
            if logits:
                head.bias.assign(logits[name])
            self.heads[name] = head
        self.variables = [
            v
            for layer in (self.cell, *self.heads.values())
            for v in layer.trainable_variables
        ]
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(self.variables)
        # One graph for drawing and one for learning, traced once each.
        self._select = tf.function(self._run, autograph=False)
        self._step = tf.function(self._learn, autograph=False)

    def _run(self, noise):
        """Select the candidates of largest log p + noise, one after another.

        Args:
            noise: float32 tensor, shape (choices, width).

        Returns:
            (int64 tensor of the candidates, shape (choices,); float32 scalar,
            their log probability).
        """
        x = tf.zeros((1, self.width))
        state = [tf.zeros((1, self.units))] * 2
        selected, log_prob = [], 0.0
        for row, head in zip(
            tf.unstack(noise), self.heads.values(), strict=True
        ):
            y, state = self.cell(x, state)
            log_p = tf.nn.log_softmax(head(y)[0])
            selected.append(tf.argmax(log_p + row[: log_p.shape[0]]))
            log_prob += log_p[selected[-1]]
            x = tf.one_hot(selected[-1:], self.width)
        return tf.stack(selected), log_prob

    def _learn(self, forced, advantage):
        with tf.GradientTape() as tape:
            loss = -advantage * self._run(forced)[1]
        gradients = tape.gradient(loss, [v.value for v in self.variables])
        self.optimizer.apply_gradients(
            zip(gradients, self.variables, strict=True)
        )

    def draw(self, generator: np.random.Generator) -> dict[str, str]:
        """Draw a child.

        Args:
            generator: numpy.random.Generator.

        Returns:
            {choice name: candidate name}.
        """
        noise = generator.gumbel(size=(len(self.choices), self.width))
        selected, _ = self._select(tf.constant(noise, "float32"))
        pairs = zip(self.choices.items(), selected.numpy(), strict=True)
        return {name: candidates[i] for (name, candidates), i in pairs}

    def _forced(self, values):
        """Return the noise under which `_run` takes these candidates."""
        indices = list(_indices(self.choices, values).values())
        noise = np.full((len(indices), self.width), -np.inf, "float32")
        noise[np.arange(len(indices)), indices] = 0.0
        return tf.constant(noise)

    def log_prob(self, values: Mapping[str, str]) -> float:
        """Return the log probability of a child.

        Args:
            values: {choice name: candidate name}.

        Returns:
            float, nats.
        """
        return float(self._select(self._forced(values))[1])

    def learn(self, values: Mapping[str, str], advantage: float) -> None:
        """Make `values` likelier; less likely where the advantage is negative.

        Args:
            values: {choice name: candidate name}.
            advantage: float, score less what was to be expected.
        """
        self._step(self._forced(values), tf.constant(advantage, "float32"))

    def get_state(self) -> list:
        """Return what has been learned, as JSON can hold it."""
        return [v.numpy().tolist() for v in self._all_variables()]

    def set_state(self, state: list) -> None:
        """Take up what `get_state` has returned.

        Args:
            state: as `get_state` returns it.
        """
        for variable, value in zip(self._all_variables(), state, strict=True):
            variable.assign(value)

    def _all_variables(self):
        return [*self.variables, *self.optimizer.variables]


POLICIES = {"independent": IndependentPolicy, "recurrent": RecurrentPolicy}


def _indices(choices, values):
    return {
        name: candidates.index(values[name])
        for name, candidates in choices.items()
    }
