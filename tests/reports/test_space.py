"""What a space holds, against enumeration of all its children."""

import itertools

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import costs as costs_lib


def test_costs_are_those_of_all_children(tiny_space):
    report = snas_keras.space_report(tiny_space, ["parameters", "flops"])
    choices = tiny_space.choices()
    assert report.size == 81
    supernet = snas_keras.build_supernet(tiny_space)
    for name, found in report.costs.items():
        cost = costs_lib.ChildCost(supernet, name)
        costs = [
            cost(dict(zip(choices, values, strict=True)))
            for values in itertools.product(*choices.values())
        ]
        assert found.minimum == min(costs)
        assert found.maximum == max(costs)
        assert found.mean == pytest.approx(np.mean(costs))
        assert cost(found.cheapest) == min(costs)
        assert cost(found.dearest) == max(costs)


def test_the_table_says_what_was_found(tiny_space):
    report = snas_keras.space_report(tiny_space)
    first, _, head, _, *rows = report.table().splitlines()
    assert first == "Space tiny: 4 choices, 81 children."
    cells = [[x.strip() for x in row.split("|")[1:-1]] for row in [head, *rows]]
    found = report.costs["parameters"]
    assert cells[:2] == [
        ["cost", "minimum", "mean", "maximum"],
        [
            "parameters",
            *(f"{x:.6g}" for x in (found.minimum, found.mean, found.maximum)),
        ],
    ]
    assert cells[2][0] == "flops"


def test_a_cost_of_any_name_is_one_row_of_the_table(tiny_space):
    def cost(layer, input_shape):
        return 1.0

    cost.__name__ = "a|b"
    table = snas_keras.space_report(tiny_space, [cost]).table()
    assert table.splitlines()[-1].startswith(r"| a\|b")


def test_looking_does_not_change_the_weights_made_afterwards(tiny_space):
    made = []
    for looks in (False, True):
        keras.utils.set_random_seed(0)
        if looks:
            snas_keras.space_report(tiny_space)
        made.append(snas_keras.build_supernet(tiny_space).get_weights())
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_space_is_refused():
    with pytest.raises(TypeError, match="Expected a SearchSpace"):
        snas_keras.space_report("digits")
