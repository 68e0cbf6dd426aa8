"""Credit assignment: gradient of the loss by each candidate's weight."""

import collections
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

DECAY = 0.99
# What is kept for every candidate, in this order.
_KEPT = (
    "exposure",
    "weight",
    "credit",
    "square",
    "all_weight",
    "edge",
    "task",
    "resource",
)


class Credit(keras.layers.Layer):
    """Moving means of the gradients that a training step has anyway.

    The gradient with respect to the weights z of a choice is its candidates'
    credit, a cost: what the task loss would gain or lose by a little more of
    each, where negative helps. `none` always has zero.

        credit_k      = d task loss / d z_k = <d task loss / d y, y_k>
        credit of the choice = sum_k z_k credit_k
        task_k        = d task loss / d logits_k
        resource_k    = d resource loss / d logits_k

    task_k + resource_k is the gradient that the optimizer of the logits gets.
    A choice that several cells share has the sum of their credits.

    The means forget by a factor of 0.99 a step. Steps with a gradient that is
    not finite do not count; of a single path only the candidate that was run
    has a credit.

    Args:
        choices: mapping of str to sequence of str, {choice name: candidate
            names}.
        **kwargs: of `keras.layers.Layer`.

    Reference:
        Xie, Zheng, Liu, Lin, "SNAS: Stochastic Neural Architecture Search",
        2019, section 2.3, https://arxiv.org/abs/1812.09926.
    """

    def __init__(self, choices: Mapping[str, Any], **kwargs: Any):
        kwargs.setdefault("name", "credit")
        super().__init__(**kwargs)
        groups = collections.defaultdict(list)
        for name, candidates in choices.items():
            groups[len(candidates)].append(name)
        self.groups = dict(groups)
        self.state = {
            size: self.add_weight(
                shape=(len(_KEPT), len(names), size),
                initializer="zeros",
                dtype="float32",
                trainable=False,
                autocast=False,
                aggregation="mean",
                name=f"size_{size}",
            )
            for size, names in self.groups.items()
        }
        self.built = True

    def update(
        self,
        z: Mapping[str, Any],
        total: Any,
        penalty: Any,
        factor: Any = 1.0,
        single_path: bool = False,
    ) -> None:
        """Add one step.

        Args:
            z: {choice name: tensor, shape (candidates,)}, the draw.
            total: gradients of the whole loss, by the draw and by the logits:
                a pair of {choice name: tensor or None}.
            penalty: the same of the resource loss.
            factor: float scalar, by which `total` is to be multiplied, default
                1.0; it takes back the scale of the loss.
            single_path: bool, whether only the drawn candidate was run.
        """
        for size, names in self.groups.items():
            drawn = _rows(z, names, size)
            totals = [
                ops.cast(factor, "float32") * _rows(part, names, size)
                for part in total
            ]
            penalties = [_rows(part, names, size) for part in penalty]
            credit, task = (
                a - b for a, b in zip(totals, penalties, strict=True)
            )
            self._move(size, drawn, [credit, task, penalties[1]], single_path)

    def _move(self, size, drawn, gradients, single_path):
        finite = ops.all(ops.isfinite(ops.stack(gradients)), axis=0)
        values = _values(drawn, *(ops.where(finite, g, 0.0) for g in gradients))
        finite = ops.cast(finite, "float32")
        run = finite * ops.cast(drawn > 0, "float32") if single_path else finite
        rate = (1.0 - DECAY) * ops.stack([run] * 3 + [finite] * 4)
        state = ops.convert_to_tensor(self.state[size])
        exposure, means = state[:1], state[1:]
        self.state[size].assign(
            ops.concatenate(
                [exposure + drawn, means + rate * (ops.stack(values) - means)]
            )
        )

    def values(self) -> dict[str, dict[str, Any]]:
        """Return what was found so far.

        Returns:
            {choice name: {"credit", "signal_to_noise", "task", "resource",
            "exposure": float64 arrays, shape (candidates,), "edge": float}}.
            "signal_to_noise" is |mean| / deviation of the credit over steps, at
            most a thousand; "exposure" the candidate's share of all weights
            drawn so far; "edge" the credit of the whole choice.
        """
        found = {}
        for size, names in self.groups.items():
            state = np.array(self.state[size], "float64")
            for index, name in enumerate(names):
                found[name] = _summary(
                    dict(zip(_KEPT, state[:, index], strict=True))
                )
        return found


def _rows(by_name, names, size):
    """Stack what belongs to each choice; what is None is zero."""
    rows = [by_name[name] for name in names]
    return ops.stack(
        [
            ops.zeros(size, "float32") if r is None else ops.cast(r, "float32")
            for r in rows
        ]
    )


def _values(drawn, credit, task, resource):
    """One step's values, in the order of _KEPT from "weight" on."""
    one = ops.ones_like(drawn)
    square = ops.square(credit)
    return [one, credit, square, one, drawn * credit, task, resource]


def _summary(kept):
    weight = np.maximum(kept["weight"], 1e-12)
    all_weight = np.maximum(kept["all_weight"], 1e-12)
    mean, square = kept["credit"] / weight, kept["square"] / weight
    # Float32 squares cannot tell smaller deviations.
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-6 * square))
    return {
        "credit": mean,
        "signal_to_noise": np.abs(mean) / np.maximum(deviation, 1e-30),
        "task": kept["task"] / all_weight,
        "resource": kept["resource"] / all_weight,
        "exposure": kept["exposure"] / max(kept["exposure"].sum(), 1e-12),
        "edge": float((kept["edge"] / all_weight).sum()),
    }
