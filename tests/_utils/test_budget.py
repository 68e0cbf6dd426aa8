"""Limits on costs: their units, their tolerance, and what is refused."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from snas_keras import objectives
from snas_keras._utils import budget as budget_lib

Cost = collections.namedtuple("Cost", ["minimum", "maximum"])
COSTS = {"flops": Cost(50.0, 200.0), "parameters": Cost(10.0, 40.0)}


@pytest.mark.parametrize("limit", [3.0, 1e-12, 1e15])
def test_a_billionth_above_a_limit_is_rounding_and_more_is_not(limit):
    assert budget_lib.is_within(limit * (1.0 + 0.9e-9), limit)
    assert not budget_lib.is_within(limit * (1.0 + 1.1e-9), limit)


def test_costs_may_be_arrays_and_tensors():
    costs = [1.0, 2.0, np.nan]
    assert budget_lib.is_within(np.array(costs), 1.0).tolist() == [1, 0, 0]
    found = budget_lib.is_within(tf.constant(costs, "float64"), 1.0)
    assert found.numpy().tolist() == [True, False, False]


def test_percentages_are_of_the_most_expensive_child():
    budget = objectives.Budget({"flops": "60%", "parameters": 12})
    assert budget.percentages == ["flops"]
    resolved = budget.resolve(COSTS)
    assert dict(resolved) == {"flops": 120.0, "parameters": 12.0}
    assert resolved.percentages == []


def test_all_costs_must_be_within_and_others_do_not_matter():
    budget = objectives.Budget({"flops": 100.0, "parameters": 20.0})
    assert budget.is_within({"flops": 100.0, "parameters": 20.0, "watts": 9e9})
    assert not budget.is_within({"flops": 101.0, "parameters": 20.0})
    assert not budget.is_within({"flops": 100.0, "parameters": float("nan")})
    assert objectives.Budget({}).is_within({})


def test_the_excess_is_a_share_of_each_limit():
    budget = objectives.Budget({"flops": 100.0, "parameters": 20.0})
    found = budget.excess({"flops": 150.0, "parameters": 20.0 + 1e-9})
    assert found == {"flops": 0.5, "parameters": 0.0}
    found = budget.excess({"flops": float("nan"), "parameters": 1.0})
    assert np.isnan(found["flops"])


@pytest.mark.parametrize(
    "limit", [0, -1.0, float("nan"), float("inf"), "0%", "101%", "many", "60"]
)
def test_what_is_no_limit_is_refused(limit):
    with pytest.raises(ValueError, match="`flops` must be positive.*Received"):
        objectives.Budget({"flops": limit})


def test_a_budget_that_cannot_be_kept_or_known_is_refused():
    with pytest.raises(ValueError, match="cheapest costs 50"):
        objectives.Budget({"flops": 49.0}).resolve(COSTS)
    assert objectives.Budget({"flops": 50.0 - 1e-9}).resolve(COSTS)
    with pytest.raises(ValueError, match=r"needs a cost. Missing: \['watts'\]"):
        objectives.Budget({"watts": 1.0}).resolve(COSTS)
    with pytest.raises(ValueError, match=r"resolve\(costs\)"):
        objectives.Budget({"flops": "60%"}).is_within({"flops": 1.0})
    with pytest.raises(ValueError, match=r"resolve\(costs\)"):
        objectives.Budget({"flops": "60%"}).excess({"flops": 1.0})
