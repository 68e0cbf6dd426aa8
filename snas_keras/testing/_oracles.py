"""Conformance check of oracles."""

import contextlib
import io
import itertools
import tempfile
from collections.abc import Callable
from typing import Any

import keras

from snas_keras import costs as costs_lib
from snas_keras import spaces
from snas_keras import supernet as supernet_lib
from snas_keras.testing._promise import promised, require

_CANDIDATES = {"a": 0, "b": 1, "c": 3}
_CHOICES = dict.fromkeys(("first", "second", "third"), tuple(_CANDIDATES))
_TRIALS = 8


def check_oracle(oracle: Callable[..., Any]) -> None:
    """Check what every oracle over choices promises.

    It proposes candidates that there are, never the same child twice and none
    above the budget; it ends when no other child is left; the same seed gives
    the same trials; and stopped and started again in the same folder it goes on
    as if it had not been stopped.

    Args:
        oracle: class, or function (choices, objective, max_trials, *, seed,
            costs, max_cost) -> `keras_tuner.Oracle`, e.g.
            `snas_keras.tuner.ArchitectureOracle`.

    Raises:
        AssertionError: a promise is broken.
        ModuleNotFoundError: Keras Tuner is missing (extra `tuner`).

    Example:

    >>> from snas_keras import testing, tuner
    >>> testing.check_oracle(tuner.RegularizedEvolutionOracle)
    """
    checks = {
        "propose every child once, and then end": _check_exhaustion,
        "keep to the budget": _check_budget,
        "depend on nothing but its seed and the scores": _check_seed,
        "go on where it was stopped": _check_resume,
    }
    for promise, check in checks.items():
        with promised(f"Oracle {oracle!r}", promise):
            check(oracle)


def score(values: dict[str, str]) -> float:
    """Return the score of a child: its parameters.

    Args:
        values: {choice name: candidate name}.
    """
    return float(sum(_CANDIDATES[values[name]] for name in _CHOICES))


def _trials(oracle, folder, max_trials, **options):
    """Run a search; return its children in the order of their trials."""
    import keras_tuner

    class Scored(keras_tuner.engine.base_tuner.BaseTuner):
        def run_trial(self, trial):
            return {"score": score(trial.hyperparameters.values)}

        def load_model(self, trial):
            return None

    made = oracle(
        _CHOICES,
        keras_tuner.Objective("score", "max"),
        max_trials,
        **{"seed": 0, **options},
    )
    made.verbose = 0
    # Keras Tuner prints, whatever `verbose` says.
    with contextlib.redirect_stdout(io.StringIO()):
        Scored(made, directory=folder, project_name="checked").search()
    trials = sorted(made.trials.values(), key=lambda trial: trial.trial_id)
    return [
        tuple(trial.hyperparameters.values[name] for name in _CHOICES)
        for trial in trials
    ]


def _in_a_folder(oracle, max_trials, **options):
    with tempfile.TemporaryDirectory() as folder:
        return _trials(oracle, folder, max_trials, **options)


def _check_exhaustion(oracle):
    found = _in_a_folder(oracle, 40)
    known = set(itertools.product(*_CHOICES.values()))
    unknown = [child for child in found if child not in known]
    require(not unknown, f"There is no {unknown}.")
    require(len(set(found)) == len(found), f"It repeats a child: {found}.")
    require(len(found) == 27, f"Of 27 children it proposed {len(found)}.")


def _parameters():
    """Return the cost of a space whose candidates have 0, 1 or 3 parameters."""

    @spaces.search_space
    def chain(choose):
        x = inputs = keras.Input((1,))
        for name in _CHOICES:
            layers = {c: _dense(size) for c, size in _CANDIDATES.items()}
            x = choose(name, layers)(x)
        return inputs, x

    supernet = supernet_lib.build_supernet(chain())
    return costs_lib.ChildCost(supernet, "parameters")


def _dense(number):
    """Return a layer with so many parameters."""
    dense = [keras.layers.Dense(1, use_bias=False) for _ in range(number)]
    return keras.Sequential(dense) if dense else keras.layers.Identity()


def _check_budget(oracle):
    found = _in_a_folder(
        oracle,
        40,
        costs={"parameters": _parameters()},
        max_cost={"parameters": 3.0},
    )
    costs = [score(dict(zip(_CHOICES, child, strict=True))) for child in found]
    require(max(costs) <= 3.0, f"A child costs {max(costs)}, above 3.")
    # Eight of a and b alone, and three with one c and otherwise a.
    require(len(found) == 11, f"Of 11 children within it found {len(found)}.")


def _check_seed(oracle):
    first, again = (_in_a_folder(oracle, _TRIALS) for _ in range(2))
    require(first == again, f"One seed gave {first}, then {again}.")


def _check_resume(oracle):
    whole = _in_a_folder(oracle, _TRIALS)
    with tempfile.TemporaryDirectory() as folder:
        _trials(oracle, folder, _TRIALS // 2)
        found = _trials(oracle, folder, _TRIALS)
    require(found == whole, f"It gave {found} in place of {whole}.")
