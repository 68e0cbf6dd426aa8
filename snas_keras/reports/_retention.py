"""How much of the search's validation result the child network keeps."""

import dataclasses
import json

import numpy as np

from snas_keras import children as children_lib
from snas_keras import costs as costs_lib
from snas_keras import spaces
from snas_keras._utils import files, plots

SEARCH = "search, as drawn"
ONE_HOT = "search, one-hot draws"
MODE = "child, as it is"
RECALIBRATED = "child, batch norm recalibrated"
RANDOM = "random children of equal cost"
FINE_TUNED = "child, fine-tuned"

# Nats for the whole range of costs; below zero, dear candidates are likelier.
_CHARGES = np.concatenate([s * np.geomspace(0.01, 1e3, 128) for s in (-1, 1)])


def retention_report(
    supernet,
    data,
    train_data=None,
    *,
    metric=None,
    cost="flops",
    draws=8,
    children=8,
    recalibration_steps=None,
    fine_tune=None,
    seed=0,
):
    """Measure the supernet and its children on the same validation data.

    The paper's claim is that its child keeps the search's validation accuracy,
    because training samples nearly discrete networks, and that a child derived
    from attention weights does not:

        gap = metric of the search - metric of the child

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
        metric: str, the compiled metric to report, default the first.
        cost: str or function (layer, input_shape) -> float, default "flops".
        draws: int, how many relaxed and how many one-hot draws, default 8.
        children: int, how many random children, default 8, or as many others
            as the space has. They are the nearest in cost to the child among
            200 times as many, of which half are drawn from those about as dear.
        recalibration_steps: int, batches of `train_data`, default all.
        fine_tune: function (compiled child) -> None that trains it, default
            None.
        seed: int, of the random children and the draws, default 0.

    Returns:
        RetentionReport.

    Raises:
        ValueError: the supernet is not compiled, or the metric not known.

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
    measure.choose(metric)
    architecture = supernet.architecture
    # Negative steps: no draw of the training.
    steps = [-1 - seed * draws - i for i in range(draws)]
    drawn = [_genotype(architecture, step) for step in steps]
    derived = supernet.derive()
    price = costs_lib.ChildCost(supernet, cost)
    random = _nearest(price, derived, children, seed)
    values = {
        SEARCH: [measure.supernet(architecture.sample(s)) for s in steps],
        ONE_HOT: [measure.supernet(genotype) for genotype in drawn],
        MODE: [measure.supernet(derived)],
    }
    if train_data is not None:
        values[RECALIBRATED] = [measure.child(derived)]
    values[RANDOM] = [measure.child(genotype) for genotype in random]
    if fine_tune is not None:
        values[FINE_TUNED] = [measure.child(derived, fine_tune)]
    return RetentionReport(
        metric=measure.metric,
        values=values,
        cost=price.name,
        costs={
            "expected": price.expected(architecture.probabilities()),
            "one-hot draws": [price(genotype) for genotype in drawn],
            "child": price(derived),
            "random children": [price(genotype) for genotype in random],
        },
    )


@dataclasses.dataclass(frozen=True)
class RetentionReport:
    """What `retention_report` has measured.

    Args:
        metric: str, name of the metric.
        values: {row: list of float}, one value a draw or child.
        cost: str, name of the cost.
        costs: {"expected": float, "one-hot draws": list of float, "child":
            float, "random children": list of float}, of whole networks.
    """

    metric: str
    values: dict
    cost: str
    costs: dict

    @property
    def gap(self):
        """Return the search's metric less that of the child.

        The child is recalibrated, where it was. In the metric's unit: 0.01 is a
        point of accuracy.
        """
        kept = self.values.get(RECALIBRATED, self.values[MODE])
        return float(np.mean(self.values[SEARCH]) - np.mean(kept))

    def table(self):
        """Return the rows as a table in Markdown, with mean and deviation."""
        lines = [
            f"| validation {self.metric} | mean | deviation | n |",
            "| --- | --- | --- | --- |",
        ]
        for row, values in self.values.items():
            deviation = f"{_deviation(values):.4f}" if len(values) > 1 else ""
            lines.append(
                f"| {row} | {np.mean(values):.4f} | {deviation} | "
                f"{len(values)} |"
            )
        lines.append(f"| gap, search less child | {self.gap:.4f} | | |")
        lines += ["", f"| {self.cost} | mean |", "| --- | --- |"]
        for row, costs in self.costs.items():
            lines.append(f"| {row} | {np.mean(costs):,.0f} |")
        return "\n".join(lines)

    def save(self, path):
        """Write JSON, and beside it the table and a bar chart.

        Args:
            path: path of the JSON file; the others have the suffixes .md and
                .png.

        Raises:
            ModuleNotFoundError: matplotlib is missing.
        """
        content = {**dataclasses.asdict(self), "gap": self.gap}
        files.write_report(path, content, self.table(), _bar_chart(self))

    @classmethod
    def load(cls, path):
        """Read the JSON file that `save` wrote."""
        content = json.loads(files.existing(path).read_text())
        del content["gap"]
        return cls(**content)


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

    def choose(self, metric):
        logs = self._logs(self.net)
        names = [name for name in logs if name != "loss"] or ["loss"]
        if metric is not None and metric not in logs:
            raise ValueError(
                f"There is no such metric. Received: metric={metric!r}. "
                f"Allowed: {sorted(logs)}"
            )
        self.metric = metric or names[0]

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


def _nearest(price, derived, count, seed):
    """Draw other children at random; return the different ones nearest in cost.

    Even draws of a large space have nearly all the same cost. So as many again
    are drawn under a charge that makes their mean cost that of the child; all
    children of one cost stay equally likely.
    """
    generator = np.random.default_rng(seed)
    cost = price(derived)
    as_dear = min(
        (_probabilities(price, charge) for charge in _CHARGES),
        key=lambda p: abs(price.expected(p) - cost),
    )
    found = {}
    for p in (_probabilities(price), as_dear):
        drawn = {
            name: generator.choice(candidates, 100 * count, p=p[name])
            for name, candidates in price.choices.items()
        }
        for names in zip(*drawn.values(), strict=True):
            genotype = dict(zip(drawn, map(str, names), strict=True))
            found[spaces.Genotype(genotype)] = None
    others = [genotype for genotype in found if genotype != derived]
    return sorted(others, key=lambda g: abs(price(g) - cost))[:count]


def _probabilities(price, charge=0.0):
    """Return even probabilities less a charge on costs, in nats a range.

    p_k = exp(-charge c_k / range) / sum_j exp(-charge c_j / range)
    """
    span = (price.maximum - price.minimum) or 1.0
    scores = {
        name: np.exp(
            -charge * (row - (row.min() if charge > 0 else row.max())) / span
        )
        for name, row in price.rows.items()
    }
    return {name: score / score.sum() for name, score in scores.items()}


def _genotype(architecture, step):
    """Return the one-hot draw of a step."""
    drawn = architecture.sample(step, "single_path")
    return spaces.Genotype(
        {
            name: candidates[int(np.argmax(drawn[name]))]
            for name, candidates in architecture.choices.items()
        }
    )


def _deviation(values):
    return float(np.std(values, ddof=1))


def _bar_chart(report):
    drawn = plots.new_figure(figsize=(7, 3))
    axes = drawn.subplots()
    rows = list(report.values)[::-1]
    means = [np.mean(report.values[row]) for row in rows]
    deviations = [
        _deviation(report.values[row]) if len(report.values[row]) > 1 else 0.0
        for row in rows
    ]
    axes.barh(rows, means, xerr=deviations, capsize=3, color="#56B4E9")
    for row, mean in zip(rows, means, strict=True):
        axes.annotate(
            f"{mean:.3f}",
            (0, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xlabel(f"validation {report.metric} (bar: one deviation)")
    axes.set_title(f"gap, search less child: {report.gap:.4f}")
    return drawn
