"""A tuner whose trials inherit the weights of a supernet."""

import json
import pathlib
import typing
from collections.abc import Callable, Mapping

import keras_tuner
import numpy as np

from snas_keras import children as children_lib
from snas_keras import objectives, spaces
from snas_keras._utils import files


class SuperNetTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Try children with the supernet's weights: a trial takes seconds.

    A trial converts the child, recalibrates its batch norms and evaluates it;
    nothing is trained. Any oracle of Keras Tuner can drive it. The best are
    then trained by `retrain`.

    Metrics of a trial are the supernet's own, with "val_" before them, the
    costs, and "score" where there is a reward.

    Args:
        oracle: `keras_tuner.Oracle`, e.g. `ArchitectureOracle`.
        supernet: SuperNet, trained and compiled.
        data: validation data, as `evaluate` takes them: (x, y), or a dataset.
        train_data: for `recalibrate_batch_norm`, default None: children are
            evaluated as they are.
        recalibration_steps: int, batches of `train_data`, default all.
        costs: mapping {name: function (genotype) -> float}, e.g. `ChildCost`,
            or a measurement of your own. Default none.
        reward: function {metric: float} -> float, default none; see
            `snas_keras.objectives`. The oracle's objective is then
            `keras_tuner.Objective("score", "max")`.
        **kwargs: passed to Keras Tuner: directory, project_name, overwrite.

    Raises:
        ValueError: the supernet is not compiled.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        supernet: typing.Any,
        data: typing.Any,
        train_data: typing.Any = None,
        *,
        recalibration_steps: int | None = None,
        costs: Mapping | None = None,
        reward: Callable[[Mapping[str, float]], float] | None = None,
        **kwargs: typing.Any,
    ):
        if not supernet.compiled:
            raise ValueError(
                "The supernet must be compiled with its loss and metrics."
            )
        self.supernet = supernet
        self.data = data if isinstance(data, tuple) else (data,)
        self.train_data = train_data
        self.recalibration_steps = recalibration_steps
        self.costs = dict(costs or {})
        self.reward = reward
        choices = supernet.architecture.choices
        hyperparameters = oracle.get_space()
        for name, candidates in choices.items():
            hyperparameters.Choice(name, list(candidates))
        oracle.update_space(hyperparameters)
        super().__init__(oracle, hypermodel=None, **kwargs)

    def genotype(self, trial: typing.Any) -> spaces.Genotype:
        """Return the Genotype of a trial.

        Args:
            trial: `keras_tuner` trial.

        Returns:
            Genotype.
        """
        values = trial.hyperparameters.values
        names = self.supernet.architecture.choices
        return spaces.Genotype({name: values[name] for name in names})

    def run_trial(
        self, trial: typing.Any, verbose: int = 0
    ) -> dict[str, float]:
        """Evaluate one child; Keras Tuner calls it.

        Args:
            trial: `keras_tuner` trial.
            verbose: int, given to `search` and passed to `evaluate`, default 0.

        Returns:
            {metric: float}.
        """
        child = self.load_model(trial)
        logs = child.evaluate(*self.data, verbose=verbose, return_dict=True)
        metrics = {f"val_{name}": float(v) for name, v in logs.items()}
        for name, cost in self.costs.items():
            metrics[name] = float(cost(self.genotype(trial)))
        if self.reward is not None:
            metrics["score"] = self.reward(metrics)
        return metrics

    def load_model(self, trial: typing.Any) -> typing.Any:
        """Return the child of a trial with the supernet's weights.

        Args:
            trial: `keras_tuner` trial.

        Returns:
            keras.Model, compiled as the supernet is.
        """
        return children_lib.inherited_child(
            self.supernet,
            self.genotype(trial),
            self.train_data,
            self.recalibration_steps,
        )

    def save_model(
        self, trial_id: str, model: typing.Any, step: int = 0
    ) -> None:
        """Save nothing: the supernet has the weights.

        Args:
            trial_id: str.
            model: keras.Model.
            step: int, default 0.
        """

    def retrain(
        self,
        train: Callable[[spaces.Genotype, int], Mapping[str, float]],
        count: int = 3,
        executions: int = 1,
    ) -> list[dict[str, typing.Any]]:
        """Train the best children anew, each several times.

        What is done is kept in the project's folder: run it again after a kill
        and it goes on.

        Args:
            train: function (genotype, execution) -> {metric: float}; execution
                counts from zero and can serve as a seed.
            count: int, how many children, default 3.
            executions: int, how often each is trained, default 1.

        Returns:
            list of {"trial": str, "genotype": Genotype, "metrics": {name:
            mean}, "executions": [{name: float}]}, in the order of the search.
        """
        return [
            self._retrain(train, trial, executions)
            for trial in self.oracle.get_best_trials(count)
            if trial.score is not None
        ]

    def _retrain(self, train, trial, executions):
        genotype = self.genotype(trial)
        folder = pathlib.Path(self.project_dir) / "retrained"
        records = []
        for execution in range(executions):
            path = folder / f"{trial.trial_id}_{execution}.json"
            if not path.exists():
                metrics = dict(train(genotype, execution))
                with files.replacing(path) as temporary:
                    temporary.write_text(json.dumps(metrics) + "\n")
            records.append(json.loads(path.read_text()))
        return {
            "trial": trial.trial_id,
            "genotype": genotype,
            "metrics": {
                k: float(np.mean([r[k] for r in records])) for k in records[0]
            },
            "executions": records,
        }


def pareto_report(
    oracle: keras_tuner.Oracle,
    directions: Mapping[str, str],
    reference: Mapping[str, float] | None = None,
) -> objectives.ParetoReport:
    """Find the Pareto set among all completed trials.

    Args:
        oracle: `keras_tuner.Oracle`, in the process that holds it.
        directions: {metric: "max" or "min"}.
        reference: {metric: float}, the worst values that count for the
            hypervolume, default the worst of all trials.

    Returns:
        snas_keras.objectives.ParetoReport, its points named by trial.

    Raises:
        ValueError: no trial has all of the metrics.
    """
    points = {}
    for trial in oracle.trials.values():
        metrics = trial.metrics.metrics
        if trial.status == "COMPLETED" and set(directions) <= set(metrics):
            points[trial.trial_id] = {
                name: float(metrics[name].get_best_value())
                for name in directions
            }
    return objectives.ParetoReport(dict(directions), points, reference)
