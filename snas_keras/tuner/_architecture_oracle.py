"""An oracle that learns the distribution over children."""

import math
import typing
from collections.abc import Iterator, Mapping

import numpy as np

from snas_keras.tuner import _oracle, _policies


class ArchitectureOracle(_oracle.ChoicesOracle):
    """Keep a distribution over children, and learn it from their scores.

    SNAS' objective, the expected score of a child drawn from p(Z | logits),
    without its relaxation: a trial's score moves the distribution along the
    score function, with a moving mean as baseline and the moving deviation as
    unit. A search of n trials thus needs no scale of its own.

        error     = score - mean
        variance <- decay variance + (1 - decay) error^2
        mean     <- mean + (1 - decay) error
        advantage = error / sqrt(variance)
                    - prior_strength (log p(Z) - log p_0(Z))

    p_0 is the distribution at the start; the last term is, in the mean, the
    gradient of -prior_strength KL(p || p_0). At a decay of 0 the baseline is
    the score before, and the advantage the sign of the difference.

    Proposals are drawn from p among what is not yet tried and within the
    budget; where p hardly gives anything new, from its neighbourhood.

    Args:
        space: as for `ChoicesOracle`.
        objective: as for `ChoicesOracle`.
        max_trials: as for `ChoicesOracle`.
        policy: str, "independent", SNAS' own distribution, the default, or
            "recurrent", a controller whose choices depend on each other.
        logits: {choice name: list of float} to start from, default zeros.
        prior_strength: float, how firmly the distribution is held to where it
            started, default 0.0: not at all.
        learning_rate: float, default the policy's own.
        baseline_decay: float in [0, 1), of the moving mean and deviation,
            default 0.9.
        **kwargs: passed to `ChoicesOracle`.

    Raises:
        ValueError: an unknown policy, or a number out of its range.

    Reference:
        Williams, "Simple Statistical Gradient-Following Algorithms for
        Connectionist Reinforcement Learning", 1992,
        https://doi.org/10.1007/BF00992696.
    """

    def __init__(
        self,
        space: typing.Any,
        objective: typing.Any = None,
        max_trials: int | None = None,
        *,
        policy: str = "independent",
        logits: Mapping | None = None,
        prior_strength: float = 0.0,
        learning_rate: float | None = None,
        baseline_decay: float = 0.9,
        **kwargs: typing.Any,
    ):
        super().__init__(space, objective, max_trials, **kwargs)
        if policy not in _policies.POLICIES:
            raise ValueError(
                f"There is no such policy. Received: policy={policy!r}. "
                f"Allowed: {sorted(_policies.POLICIES)}"
            )
        if not 0.0 <= prior_strength < math.inf:
            raise ValueError(
                "`prior_strength` must not be negative. Received: "
                f"prior_strength={prior_strength}"
            )
        if not 0.0 <= baseline_decay < 1.0:
            raise ValueError(
                "`baseline_decay` must be at least 0 and below 1. Received: "
                f"baseline_decay={baseline_decay}"
            )
        options = {"logits": logits}
        if learning_rate is not None:
            options["learning_rate"] = learning_rate
        make = _policies.POLICIES[policy]
        self.policy = make(self.choices, **options)
        self.prior = make(self.choices, **options)
        self.prior_strength = prior_strength
        self.baseline_decay = baseline_decay
        self.mean = None
        self.variance = 0.0

    @classmethod
    def from_supernet(
        cls,
        supernet: typing.Any,
        objective: typing.Any = None,
        max_trials: int | None = None,
        **kwargs: typing.Any,
    ) -> "ArchitectureOracle":
        """Begin at what `fit` has learned.

        Args:
            supernet: SuperNet.
            objective: as for `ChoicesOracle`.
            max_trials: as for `ChoicesOracle`.
            **kwargs: passed to `ArchitectureOracle`.

        Returns:
            ArchitectureOracle whose distribution is the supernet's.
        """
        architecture = supernet.architecture
        logits = {
            name: np.array(v, "float64").tolist()
            for name, v in architecture.logits.items()
        }
        return cls(
            architecture.choices,
            objective,
            max_trials,
            logits=logits,
            **kwargs,
        )

    def proposals(self) -> Iterator[dict[str, str]]:
        while True:
            yield self.policy.draw(self.generator)

    def learn(self, values: Mapping[str, str], score: float) -> None:
        self.policy.learn(values, self.advantage(values, score))

    def advantage(self, values: Mapping[str, str], score: float) -> float:
        """Return the advantage of a score, and move the baseline.

        Args:
            values: {choice name: candidate name}.
            score: float, the larger the better.

        Returns:
            float, in deviations of the scores.
        """
        if self.mean is None:
            self.mean = score
        error = score - self.mean
        decay = self.baseline_decay
        self.mean += (1.0 - decay) * error
        self.variance = decay * self.variance + (1.0 - decay) * error * error
        advantage = error / math.sqrt(self.variance) if self.variance else 0.0
        if self.prior_strength:
            advantage -= self.prior_strength * (
                self.policy.log_prob(values) - self.prior.log_prob(values)
            )
        return advantage

    def get_state(self) -> dict[str, typing.Any]:
        state = super().get_state()
        state["policy"] = self.policy.get_state()
        state["baseline"] = [self.mean, self.variance]
        return state

    def set_state(self, state: dict[str, typing.Any]) -> None:
        super().set_state(state)
        self.policy.set_state(state["policy"])
        self.mean, self.variance = state["baseline"]
