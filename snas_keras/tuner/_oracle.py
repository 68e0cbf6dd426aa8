"""Keras Tuner oracles over the choices of a search space."""

import itertools
import math
import random
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence

import keras_tuner
import numpy as np

from snas_keras import spaces
from snas_keras._utils import budget as budget_lib
from snas_keras._utils import moved
from snas_keras.tuner import _objective

_MAX_DRAWS = 50

Choices = dict[str, str]


class ChoicesOracle(keras_tuner.Oracle):
    """What the oracles over choices have in common.

    A subclass gives a stream of `proposals` and learns from scores. This class
    knows the space, takes the first proposal that is new and within the budget,
    draws the other hyperparameters at random, and saves its state.

    Args:
        space: SearchSpace, or {choice name: candidate names}.
        objective: str or `keras_tuner.Objective`, one; join several metrics to
            one by `snas_keras.objectives`, as Keras Tuner sums a list of
            objectives whatever their units. Where a name does not say whether
            it is maximized or minimized, an `Objective` is needed.
        max_trials: int, default None: until the space is exhausted.
        costs: mapping {cost name: `ChildCost`}, default none. What is not in
            here cannot be limited.
        max_cost: mapping {cost name: limit} or `Budget`; no child above it is
            proposed. A limit is a float, in the cost's unit, or a percentage of
            the most expensive child such as "60%". Default none.
        hyperparameters: `keras_tuner.HyperParameters` beside the choices,
            default none; those that the hypermodel declares are added.
        seed: int, default None: drawn. Zero is a seed like any other.
        **kwargs: passed to `keras_tuner.Oracle`.

    Raises:
        TypeError: several objectives.
        ValueError: an objective of unknown direction, a limit without its cost,
            or below the cheapest child.

    Example:

    >>> class InOrder(ChoicesOracle):
    ...     def proposals(self):
    ...         for first in self.choices["block"]:
    ...             yield {"block": first}
    ...     def learn(self, values, score):
    ...         print(values, score)
    >>> oracle = InOrder({"block": ["conv", "skip"]}, "val_accuracy")
    >>> oracle.populate_space("0")["values"]
    {'block': 'conv'}
    """

    def __init__(
        self,
        space: typing.Any,
        objective: typing.Any = None,
        max_trials: int | None = None,
        *,
        costs: Mapping | None = None,
        max_cost: Mapping | None = None,
        hyperparameters: typing.Any = None,
        seed: int | None = None,
        **kwargs: typing.Any,
    ):
        self.choices = space.choices() if hasattr(space, "choices") else space
        declared = keras_tuner.HyperParameters()
        for name, candidates in self.choices.items():
            declared.Choice(name, list(candidates))
        if hyperparameters is not None:
            declared.merge(hyperparameters)
        super().__init__(
            objective=_objective.check_objective(objective),
            max_trials=max_trials,
            hyperparameters=declared,
            seed=seed,
            **kwargs,
        )
        # Keras Tuner replaces the seed 0.
        self.seed = random.randint(1, 10_000) if seed is None else seed
        self._seed_state = self.seed
        self.generator = np.random.default_rng(self.seed)
        self.costs = dict(costs or {})
        self.max_cost = budget_lib.Budget(max_cost or {}).resolve(self.costs)
        self.stopped_by_failures = False

    def proposals(self) -> Iterator[Choices]:
        """Yield {choice name: candidate name}, the next to be tried first.

        A subclass says which. The method is called anew for every trial, so
        that all that lasts must be an attribute, and in `get_state`. The stream
        may be endless: where its first proposals are all tried or above the
        budget, the next ones are changed in more and more choices; in the end,
        or where the stream ends, every child that is left is gone through.
        """
        moved.warn(
            f"{type(self).__name__}.propose",
            "a stream, the generator `proposals`",
            stacklevel=2,
        )
        while True:
            yield self.propose()

    def propose(self) -> Choices:
        """Return a random {choice name: candidate name}. Deprecated."""
        raise NotImplementedError(
            f"{type(self).__name__} needs `proposals`, a generator of "
            "{choice name: candidate name}."
        )

    def learn(self, values: Choices, score: float) -> None:
        """Take in a score, the larger the better; a subclass says how.

        Args:
            values: {choice name: candidate name}.
            score: float.
        """
        raise NotImplementedError

    def populate_space(self, trial_id: str) -> dict[str, typing.Any]:
        """Propose what has not been tried; Keras Tuner calls it.

        Args:
            trial_id: str, not used.

        Returns:
            {"status": str, "values": {hyperparameter: value}}.
        """
        del trial_id
        if not self.stopped_by_failures:
            for choices in self._candidates():
                if not self.is_affordable(choices):
                    continue
                values = {**choices, **self._other_values(choices)}
                if not self._is_tried(values):
                    return {"status": "RUNNING", "values": values}
        return {"status": "STOPPED"}

    def _candidates(self):
        """Yield proposals, then their neighbours, then all that is left."""
        stream = self.proposals()
        yield from itertools.islice(stream, _MAX_DRAWS)
        yield from self._neighbours(stream)
        yield from self._affordable()

    def _neighbours(self, stream):
        """Yield proposals with more and more of their choices drawn anew."""
        names = list(self.choices)
        stream = itertools.islice(stream, 2 * _MAX_DRAWS)
        for index, values in enumerate(stream):
            count = 1 + index * len(names) // (2 * _MAX_DRAWS)
            values = dict(values)
            for place in self.generator.choice(len(names), count, False):
                candidates = self.choices[names[place]]
                values[names[place]] = self.drawn(candidates)
            yield values

    def drawn(self, values: Sequence) -> typing.Any:
        """Draw one of the values uniformly.

        Args:
            values: sequence, not empty.

        Returns:
            One of the values.
        """
        return values[self.generator.integers(len(values))]

    def is_affordable(self, values: Choices) -> bool:
        """Return whether a child is within the budget.

        Args:
            values: {choice name: candidate name}.

        Returns:
            bool.
        """
        return self.max_cost.is_within(
            {name: self.costs[name](values) for name in self.max_cost}
        )

    def _is_tried(self, values):
        return self._compute_values_hash(values) in self._tried_so_far

    def _affordable(self):
        """Yield every child, leaving out at once what cannot be afforded.

        Depth first: `indices` are the candidates of the first choices, and
        `spent` what they cost, with the cheapest of all that follow.
        """
        names = list(self.choices)
        surplus = [self._surplus(name) for name in names]
        indices, spent = [-1], [self._cheapest()]
        while indices:
            indices[-1] += 1
            depth = len(indices) - 1
            if indices[-1] == len(self.choices[names[depth]]):
                indices.pop()
                spent.pop()
                continue
            total = spent[-1] + surplus[depth][indices[-1]]
            if not self._keeps_budget(total):
                continue
            if depth + 1 == len(names):
                yield {
                    n: self.choices[n][i]
                    for n, i in zip(names, indices, strict=True)
                }
            else:
                indices.append(-1)
                spent.append(total)

    def _cheapest(self):
        return np.array([self.costs[c].minimum for c in self.max_cost])

    def _surplus(self, name):
        """Return what each candidate costs above the choice's cheapest.

        Shape (candidates, costs of the budget).
        """
        rows = [self.costs[cost].rows[name] for cost in self.max_cost]
        table = np.zeros((len(self.choices[name]), len(rows)))
        for column, row in enumerate(rows):
            table[:, column] = np.asarray(row, "float64") - min(row)
        return table

    def _keeps_budget(self, total):
        return self.max_cost.is_within(
            dict(zip(self.max_cost, total, strict=True))
        )

    def _other_values(self, choices):
        """Draw the active hyperparameters beside the choices."""
        drawn = keras_tuner.HyperParameters()
        drawn.values.update(choices)
        for parameter in self.hyperparameters.space:
            drawn.merge([parameter])
            is_choice = parameter.name in self.choices
            if not is_choice and drawn.is_active(parameter):
                drawn.values[parameter.name] = parameter.random_sample(
                    self._seed_state
                )
                self._seed_state += 1
        others = set(drawn.values) - set(self.choices)
        return {
            p.name: drawn.values[p.name]
            for p in self.hyperparameters.space
            if p.name in others and drawn.is_active(p)
        }

    def score_trial(self, trial: typing.Any) -> None:
        """Score a trial and learn from it; Keras Tuner calls it.

        Args:
            trial: `keras_tuner` trial.
        """
        super().score_trial(trial)
        if trial.score is None or not math.isfinite(trial.score):
            return
        values = {n: trial.hyperparameters.values[n] for n in self.choices}
        sign = 1.0 if self.objective.direction == "max" else -1.0
        self.learn(values, sign * trial.score)

    def _check_consecutive_failures(self):
        # Keras Tuner raises here, holding its lock: a chief would wait for
        # ever. This search ends as one that has no more to propose.
        try:
            super()._check_consecutive_failures()
        except RuntimeError as error:
            self.stopped_by_failures = True
            warnings.warn(f"The search stops. {error}", stacklevel=2)

    def reload(self) -> None:
        """Take up a search where its files stand; Keras Tuner calls it."""
        super().reload()
        # In whatever order the files were found; ties go to the first trial.
        self.trials = dict(sorted(self.trials.items()))
        # Keras Tuner saves an ended trial while it still counts as running.
        ended = set(self.end_order)
        self._retry_queue = [t for t in self._retry_queue if t not in ended]

    def best_genotype(self) -> spaces.Genotype:
        """Return the Genotype of the best trial so far.

        Raises:
            ValueError: no trial is completed.
        """
        [trial] = self.get_best_trials(1) or [None]
        if trial is None or trial.score is None:
            raise ValueError("No trial is completed yet.")
        values = trial.hyperparameters.values
        return spaces.Genotype({n: values[n] for n in self.choices})

    def get_state(self) -> dict[str, typing.Any]:
        """Return the state as JSON can hold it."""
        state = super().get_state()
        state["generator"] = self.generator.bit_generator.state
        state["stopped_by_failures"] = self.stopped_by_failures
        return state

    def set_state(self, state: dict[str, typing.Any]) -> None:
        """Take up what `get_state` has returned.

        Args:
            state: dict.
        """
        super().set_state(state)
        self.generator.bit_generator.state = state["generator"]
        self.stopped_by_failures = state["stopped_by_failures"]
