"""The distribution over children as an object, at one moment."""

import heapq
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from snas_keras import spaces
from snas_keras._utils import names as names_lib


class Distribution:
    """p(Z) over children whose choices are independent.

        p(Z) = prod_choice softmax(logits_choice)[candidate]

    `Architecture.distribution()` gives it for a supernet as it stands.

    Args:
        choices: {choice name: candidate names}.
        logits: {choice name: float, shape (candidates,)}, default zeros: all
            children alike.

    Raises:
        ValueError: logits that do not fit the choices.

    Example:

    >>> distribution = Distribution({"edge": ["a", "b"]}, {"edge": [2.0, 0.0]})
    >>> [dict(genotype) for genotype, _ in distribution.top_k(2)]
    [{'edge': 'a'}, {'edge': 'b'}]
    """

    def __init__(
        self,
        choices: Mapping[str, Any],
        logits: Mapping[str, Any] | None = None,
    ):
        self.choices = names_lib.check_choices(choices)
        self.logits = {
            name: _check_logits(name, candidates, (logits or {}).get(name))
            for name, candidates in self.choices.items()
        }
        unknown = sorted(set(logits or {}) - set(self.choices))
        if unknown:
            raise ValueError(
                f"There are logits of unknown choices {unknown}. The choices "
                f"are: {sorted(self.choices)}"
            )

    def log_probabilities(self) -> dict[str, np.ndarray]:
        """Return {choice name: log softmax(logits)}."""
        return {name: _log_softmax(v) for name, v in self.logits.items()}

    def probabilities(self) -> dict[str, np.ndarray]:
        """Return {choice name: softmax(logits)}."""
        return {n: np.exp(v) for n, v in self.log_probabilities().items()}

    def log_prob(self, genotype: Mapping[str, str]) -> float:
        """Return the log probability of a child, in nats.

        Args:
            genotype: Genotype or mapping {choice name: candidate name}.

        Returns:
            float.

        Raises:
            ValueError: the genotype does not fit the choices.
        """
        genotype = spaces.Genotype(genotype).check(self.choices)
        log_p = self.log_probabilities()
        return sum(
            float(log_p[name][candidates.index(genotype[name])])
            for name, candidates in self.choices.items()
        )

    def draw(self, generator: np.random.Generator) -> dict[str, str]:
        """Draw a child.

        Args:
            generator: `numpy.random.Generator`.

        Returns:
            {choice name: candidate name}.
        """
        return {
            name: self.choices[name][generator.choice(len(p), p=p)]
            for name, p in self.probabilities().items()
        }

    def sample(self, n: int, seed: int = 0) -> list[spaces.Genotype]:
        """Draw children.

        Args:
            n: int, how many.
            seed: int, default 0.

        Returns:
            list of Genotype.
        """
        generator = np.random.default_rng(seed)
        return [spaces.Genotype(self.draw(generator)) for _ in range(n)]

    def top_k(self, k: int) -> list[tuple[spaces.Genotype, float]]:
        """Return the k likeliest children, exactly.

        Args:
            k: int; with fewer children there are, all of them.

        Returns:
            list of (Genotype, log probability), the likeliest first. Of equally
            likely ones those that take earlier candidates come first.
        """
        ranked = []
        for log_p in self.log_probabilities().values():
            order = np.argsort(-log_p, kind="stable")
            ranked.append([(float(log_p[i]), int(i)) for i in order])
        start = (0,) * len(ranked)
        waiting = [(-_total(ranked, start), start)]
        seen, found = {start}, []
        while waiting and len(found) < k:
            cost, ranks = heapq.heappop(waiting)
            found.append((self._genotype(ranked, ranks), -cost))
            for position in range(len(ranks)):
                following = _advanced(ranks, position)
                is_in = following[position] < len(ranked[position])
                if is_in and following not in seen:
                    seen.add(following)
                    entry = (-_total(ranked, following), following)
                    heapq.heappush(waiting, entry)
        return found

    def _genotype(self, ranked, ranks):
        return spaces.Genotype(
            {
                name: candidates[row[rank][1]]
                for (name, candidates), row, rank in zip(
                    self.choices.items(), ranked, ranks, strict=True
                )
            }
        )

    def entropy(self) -> dict[str, float]:
        """Return {choice name: entropy in nats}, from 0 to log(candidates)."""
        return {
            name: float(-np.sum(np.exp(log_p) * log_p))
            for name, log_p in self.log_probabilities().items()
        }

    def margin(self) -> dict[str, float]:
        """Return {choice name: probability of the first less the second}.

        Where there is one candidate the margin is one.
        """
        margins = {}
        for name, p in self.probabilities().items():
            first, second, *_ = *np.sort(p)[::-1], 0.0
            margins[name] = float(first - second)
        return margins

    def kl_divergence(self, other: "Distribution") -> float:
        """Return KL(self || other), in nats: how far the search has moved.

            sum_choice sum_k p_k (log p_k - log q_k)

        Args:
            other: Distribution over the same choices.

        Returns:
            float, not negative.

        Raises:
            ValueError: the choices differ.
        """
        if self.choices != other.choices:
            raise ValueError(
                "The distributions must have the same choices. Received: "
                f"{self.choices} and {other.choices}"
            )
        log_q = other.log_probabilities()
        return max(
            0.0,
            sum(
                float(np.sum(np.exp(log_p) * (log_p - log_q[name])))
                for name, log_p in self.log_probabilities().items()
            ),
        )

    def probability_within(self, cost: Any, limit: float) -> float:
        """Return the probability that a child costs no more than a limit.

        Args:
            cost: `snas_keras.costs.ChildCost`.
            limit: float, in the cost's unit.

        Returns:
            float.
        """
        return cost.probability_within(limit, self.probabilities())


def _total(ranked, ranks):
    pairs = zip(ranked, ranks, strict=True)
    return math.fsum(row[rank][0] for row, rank in pairs)


def _advanced(ranks, position):
    return (*ranks[:position], ranks[position] + 1, *ranks[position + 1 :])


def _check_logits(name, candidates, logits):
    if logits is None:
        return np.zeros(len(candidates))
    logits = np.array(logits, "float64")
    if logits.shape != (len(candidates),) or not np.isfinite(logits).all():
        raise ValueError(
            f"The logits of choice {name!r} must be {len(candidates)} finite "
            f"numbers. Received: {logits.tolist()}"
        )
    return logits


def _log_softmax(logits):
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
