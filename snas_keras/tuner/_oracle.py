"""Keras Tuner oracles over the choices of a search space."""

import itertools
import math
import random
import warnings

import keras_tuner
import numpy as np

from snas_keras import spaces

_MAX_DRAWS = 50


class ChoicesOracle(keras_tuner.Oracle):
    """What the oracles over choices have in common.

    A subclass proposes children and learns from scores. This class knows the
    space, keeps to a budget, never proposes the same twice, draws the other
    hyperparameters at random, and saves its state.

    Args:
        space: SearchSpace, or {choice name: candidate names}.
        objective: str or `keras_tuner.Objective`, one; join several metrics to
            one by `snas_keras.objectives`, as Keras Tuner sums a list of
            objectives whatever their units.
        max_trials: int, default None: until the space is exhausted.
        costs: mapping {cost name: `ChildCost`}, default none. What is not in
            here cannot be limited.
        max_cost: mapping {cost name: float}; no child that is dearer is
            proposed. Default none.
        hyperparameters: `keras_tuner.HyperParameters` beside the choices,
            default none; those that the hypermodel declares are added.
        seed: int, default None: drawn. Zero is a seed like any other.
        **kwargs: of `keras_tuner.Oracle`.

    Raises:
        TypeError: several objectives.
        ValueError: a limit without its cost, or below the cheapest child.
    """

    def __init__(
        self,
        space,
        objective=None,
        max_trials=None,
        *,
        costs=None,
        max_cost=None,
        hyperparameters=None,
        seed=None,
        **kwargs,
    ):
        if isinstance(objective, (list, tuple)):
            raise TypeError(
                "Give one objective: Keras Tuner adds several up, whatever "
                "their units. `snas_keras.objectives` joins metrics to one "
                f"reward. Received: objective={objective}"
            )
        self.choices = space.choices() if hasattr(space, "choices") else space
        declared = keras_tuner.HyperParameters()
        for name, candidates in self.choices.items():
            declared.Choice(name, list(candidates))
        if hyperparameters is not None:
            declared.merge(hyperparameters)
        super().__init__(
            objective=objective,
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
        self.max_cost = _check_budget(dict(max_cost or {}), self.costs)
        self.stopped_by_failures = False

    def propose(self):
        """Draw {choice name: candidate name}; a subclass says how."""
        raise NotImplementedError

    def learn(self, values, score):
        """Take in a score, the larger the better; a subclass says how.

        Args:
            values: {choice name: candidate name}.
            score: float.
        """
        raise NotImplementedError

    def populate_space(self, trial_id):
        """Propose what has not been tried; Keras Tuner calls it."""
        del trial_id
        candidates = itertools.chain(
            (self.propose() for _ in range(_MAX_DRAWS)),
            self._near_proposals(),
            self._affordable(),
        )
        if not self.stopped_by_failures:
            for choices in candidates:
                values = {**choices, **self._other_values(choices)}
                if self.is_affordable(choices) and not self._is_tried(values):
                    return {"status": "RUNNING", "values": values}
        return {"status": "STOPPED"}

    def _near_proposals(self):
        """Yield proposals with more and more of their choices drawn anew."""
        names = list(self.choices)
        for index in range(2 * _MAX_DRAWS):
            count = 1 + index * len(names) // (2 * _MAX_DRAWS)
            values = self.propose()
            for place in self.generator.choice(len(names), count, False):
                candidates = self.choices[names[place]]
                values[names[place]] = self.drawn(candidates)
            yield values

    def drawn(self, values):
        """Draw one of the values uniformly."""
        return values[self.generator.integers(len(values))]

    def is_affordable(self, values):
        """Return whether a child is within the budget."""
        return all(
            self.costs[name](values) <= limit
            for name, limit in self.max_cost.items()
        )

    def _is_tried(self, values):
        return self._compute_values_hash(values) in self._tried_so_far

    def _affordable(self):
        """Yield every child, leaving out at once what cannot be afforded."""
        names = list(self.choices)
        cheapest = {
            cost: [min(self.costs[cost].rows[name]) for name in names]
            for cost in self.max_cost
        }

        def extend(chosen, spent):
            depth = len(chosen)
            if depth == len(names):
                yield dict(zip(names, chosen, strict=True))
                return
            for index, candidate in enumerate(self.choices[names[depth]]):
                total = {
                    cost: spent[cost]
                    + self.costs[cost].rows[names[depth]][index]
                    for cost in spent
                }
                if all(
                    total[cost] + sum(cheapest[cost][depth + 1 :])
                    <= limit * (1.0 + 1e-9)
                    for cost, limit in self.max_cost.items()
                ):
                    yield from extend([*chosen, candidate], total)

        yield from extend([], {c: self.costs[c].fixed for c in self.max_cost})

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

    def score_trial(self, trial):
        """Score a trial and learn from it; Keras Tuner calls it."""
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

    def reload(self):
        """Take up a search where its files stand; Keras Tuner calls it."""
        super().reload()
        # In whatever order the files were found; ties go to the first trial.
        self.trials = dict(sorted(self.trials.items()))
        # Keras Tuner saves an ended trial while it still counts as running.
        ended = set(self.end_order)
        self._retry_queue = [t for t in self._retry_queue if t not in ended]

    def best_genotype(self):
        """Return the Genotype of the best trial so far.

        Raises:
            ValueError: no trial is completed.
        """
        [trial] = self.get_best_trials(1) or [None]
        if trial is None or trial.score is None:
            raise ValueError("No trial is completed yet.")
        values = trial.hyperparameters.values
        return spaces.Genotype({n: values[n] for n in self.choices})

    def get_state(self):
        """Return the state as JSON can hold it."""
        state = super().get_state()
        state["generator"] = self.generator.bit_generator.state
        state["stopped_by_failures"] = self.stopped_by_failures
        return state

    def set_state(self, state):
        """Take up what `get_state` has returned."""
        super().set_state(state)
        self.generator.bit_generator.state = state["generator"]
        self.stopped_by_failures = state["stopped_by_failures"]


def _check_budget(max_cost, costs):
    unknown = sorted(set(max_cost) - set(costs))
    if unknown:
        raise ValueError(
            f"`max_cost` limits {unknown}, of which no cost is given. "
            f"Received: costs={sorted(costs)}"
        )
    for name, limit in max_cost.items():
        if costs[name].minimum > limit:
            raise ValueError(
                f"No child is within max_cost[{name!r}]={limit:,}. The "
                f"cheapest costs {costs[name].minimum:,}"
            )
    return max_cost
