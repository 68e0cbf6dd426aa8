"""Measurement of the validation metric that a child keeps of the search."""

from collections.abc import Callable
from typing import Any

import numpy as np

from snas_keras import children as children_lib
from snas_keras import costs as costs_lib
from snas_keras import spaces
from snas_keras._utils import checks
from snas_keras.reports import _direction, _random_children
from snas_keras.reports import _retention_report as rows


def retention_report(
    supernet: Any,
    data: Any,
    train_data: Any = None,
    *,
    metric: str | None = None,
    direction: str | None = None,
    cost: str | Callable = "flops",
    draws: int = 8,
    children: int = 8,
    recalibration_steps: int | None = None,
    fine_tune: Callable | None = None,
    seed: int = 0,
) -> rows.RetentionReport:
    """Measure the supernet and its children on the same validation data.

    The paper's claim is that its child keeps the search's validation accuracy,
    because training samples nearly discrete networks, and that a child derived
    from attention weights does not:

        gap = metric of the search - metric of the child    to be maximized
        gap = metric of the child - metric of the search    to be minimized

    so that a positive gap is what the child has lost, also of a loss.

    Rows: the supernet under draws of its own estimator (for "softmax" the
    attention weights, which are always the same) and under one-hot draws; its
    mode, the child that `derive` names; with `train_data` the child with batch
    norm recalibrated; random children of nearly the same cost, treated alike;
    and with `fine_tune` the child after that.

    Args:
        supernet: SuperNet, compiled.
        data: validation data, as `evaluate` takes them: (x, y), or a dataset.
        train_data: array of inputs or batches, for
            `recalibrate_batch_norm`; default None: no recalibration.
        metric: str, the compiled metric to report, default the first of
            `compile(metrics=...)`, or the loss where there is none.
        direction: "max" or "min", whether the metric is to be maximized or
            minimized, default what Keras knows of it.
        cost: str or function (layer, input_shape) -> float, default "flops".
        draws: int, how many relaxed and how many one-hot draws, default 8.
        children: int, how many random children, default 8, or as many others
            as the space has. They are the nearest in cost to the child among
            200 times as many, of which half are drawn from those about as
            expensive.
        recalibration_steps: int, batches of `train_data`, default all.
        fine_tune: function (compiled child) -> None that trains it, default
            None.
        seed: int, of the random children and the draws, default 0.

    Returns:
        RetentionReport.

    Raises:
        ValueError: the supernet is not compiled, the metric is not known, or
            its direction is neither known nor given.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> supernet = snas_keras.build_supernet(space)
    >>> supernet.compile(loss="mse", metrics=["mae"])
    >>> x, y = np.ones((4, 8, 8, 1)), np.ones((4, 10))
    >>> report = retention_report(supernet, (x, y), draws=2, children=2)
    >>> report.metric, len(report.values["search, one-hot draws"])
    ('mae', 2)

    Reference:
        Xie, Zheng, Liu, Lin, "SNAS: Stochastic Neural Architecture Search",
        2019, https://arxiv.org/abs/1812.09926.
    """
    measure = _Measure(supernet, data, train_data, recalibration_steps)
    measure.choose(metric, direction)
    architecture = supernet.architecture
    # Negative steps: no draw of the training.
    steps = [-1 - seed * draws - i for i in range(draws)]
    drawn = [_genotype(architecture, step) for step in steps]
    derived = supernet.derive()
    price = costs_lib.ChildCost(supernet, cost)
    random = _random_children.nearest_in_cost(price, derived, children, seed)
    values = {
        rows.SEARCH: [measure.supernet(architecture.sample(s)) for s in steps],
        rows.ONE_HOT: [measure.supernet(genotype) for genotype in drawn],
        rows.MODE: [measure.supernet(derived)],
    }
    if train_data is not None:
        values[rows.RECALIBRATED] = [measure.child(derived)]
    values[rows.RANDOM] = [measure.child(genotype) for genotype in random]
    if fine_tune is not None:
        values[rows.FINE_TUNED] = [measure.child(derived, fine_tune)]
    return rows.RetentionReport(
        metric=measure.metric,
        direction=measure.direction,
        values=values,
        cost=price.name,
        costs={
            "expected": price.expected(architecture.probabilities()),
            "one-hot draws": [price(genotype) for genotype in drawn],
            "child": price(derived),
            "random children": [price(genotype) for genotype in random],
        },
    )


class _Measure:
    """One metric of the supernet and of its children, on the same data."""

    def __init__(self, supernet, data, train_data, recalibration_steps):
        if not supernet.compiled:
            raise ValueError(
                "The supernet must be compiled with its loss and metrics."
            )
        self.net = supernet
        self.data = data if isinstance(data, tuple) else (data,)
        self.train_data = train_data
        self.steps = recalibration_steps
        self.metric = None

    def choose(self, metric, direction):
        logs = self._logs(self.net)
        names = [n for n in _direction.metric_names(self.net) if n in logs]
        names += [name for name in logs if name not in names]
        if metric is not None and metric not in logs:
            raise ValueError(
                f"There is no such metric. Received: metric={metric!r}. "
                f"Allowed: {names}"
            )
        own = [name for name in names if name != "loss"]
        self.metric = metric or (own or ["loss"])[0]
        self.direction = direction or _direction.direction_of(
            self.net, self.metric
        )
        if self.direction is None:
            raise ValueError(
                f"Whether the metric {self.metric!r} is to be maximized or "
                "minimized is not known: give direction='max' or "
                "direction='min'."
            )
        checks.one_of("direction", self.direction, ("max", "min"))

    def supernet(self, weights):
        return float(self._logs(self.net, weights=weights)[self.metric])

    def child(self, genotype, fine_tune=None):
        child = children_lib.inherited_child(
            self.net, genotype, self.train_data, self.steps
        )
        if fine_tune is not None:
            fine_tune(child)
        return float(self._logs(child)[self.metric])

    def _logs(self, model, **options):
        return model.evaluate(
            *self.data, verbose=0, return_dict=True, **options
        )


def _genotype(architecture, step):
    """Return the one-hot draw of a step."""
    drawn = architecture.sample(step, "single_path")
    return spaces.Genotype(
        {
            name: candidates[int(np.argmax(drawn[name]))]
            for name, candidates in architecture.choices.items()
        }
    )
