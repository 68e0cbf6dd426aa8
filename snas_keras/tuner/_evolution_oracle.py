"""Regularized evolution: an oracle that mutates an aging population."""

import typing
from collections.abc import Iterator, Mapping

from snas_keras.tuner import _oracle


class RegularizedEvolutionOracle(_oracle.ChoicesOracle):
    """Aging evolution: mutate the best of a few from a population that ages.

    The first children are random. Then each proposal changes one choice of the
    best among `sample_size` members drawn from the population, whose oldest
    member leaves for every newcomer, however good it is.

    Args:
        space: as for `ChoicesOracle`.
        objective: as for `ChoicesOracle`.
        max_trials: as for `ChoicesOracle`.
        population_size: int, default 20.
        sample_size: int, default 5.
        **kwargs: passed to `ChoicesOracle`.

    Raises:
        ValueError: sizes below one, or a sample larger than the population.

    Reference:
        Real, Aggarwal, Huang, Le, "Regularized Evolution for Image Classifier
        Architecture Search", 2019, https://arxiv.org/abs/1802.01548.
    """

    def __init__(
        self,
        space: typing.Any,
        objective: typing.Any = None,
        max_trials: int | None = None,
        *,
        population_size: int = 20,
        sample_size: int = 5,
        **kwargs: typing.Any,
    ):
        super().__init__(space, objective, max_trials, **kwargs)
        if not 1 <= sample_size <= population_size:
            raise ValueError(
                "`sample_size` must be from 1 to `population_size`. Received: "
                f"sample_size={sample_size}, population_size={population_size}"
            )
        self.population_size = population_size
        self.sample_size = sample_size
        self.population = []

    def proposals(self) -> Iterator[dict[str, str]]:
        while True:
            if len(self.population) < self.population_size:
                yield {n: self.drawn(c) for n, c in self.choices.items()}
            else:
                yield self._mutant()

    def _mutant(self):
        """Change one choice of the best of a sample."""
        sample = self.generator.choice(
            len(self.population), self.sample_size, replace=False
        )
        parent, _ = max(
            (self.population[i] for i in sample), key=lambda member: member[1]
        )
        open_choices = [n for n, c in self.choices.items() if len(c) > 1]
        name = self.drawn(open_choices or list(self.choices))
        others = [c for c in self.choices[name] if c != parent[name]]
        return {**parent, name: self.drawn(others or self.choices[name])}

    def learn(self, values: Mapping[str, str], score: float) -> None:
        self.population.append([values, score])
        del self.population[: -self.population_size]

    def get_state(self) -> dict[str, typing.Any]:
        return {**super().get_state(), "population": self.population}

    def set_state(self, state: dict[str, typing.Any]) -> None:
        super().set_state(state)
        self.population = state["population"]
