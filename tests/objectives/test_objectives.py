"""Rewards by hand, the Pareto set against brute force."""

import itertools
import json

import numpy as np
import pytest

from snas_keras import objectives


def test_weighted_is_the_sum_over_scales():
    reward = objectives.weighted(
        {"accuracy": 1.0, "flops": -0.5, "watts": -0.1}, {"flops": 200.0}
    )
    metrics = {"accuracy": 0.8, "flops": 100.0, "watts": 2.0, "other": 9.0}
    assert reward(metrics) == pytest.approx(0.8 - 0.25 - 0.2)


@pytest.mark.parametrize(
    ("flops", "watts", "expected"),
    [
        (99.0, 1.0, 0.9),
        (100.0, 2.0, 0.9),
        (110.0, 1.0, -0.2),
        (110.0, 3.0, -0.2 - 1.0),
    ],
)
def test_constrained_is_the_gain_up_to_and_at_the_limit(flops, watts, expected):
    reward = objectives.constrained(
        "accuracy", {"flops": 100.0, "watts": 2.0}, slope=2.0
    )
    found = reward({"accuracy": 0.9, "flops": flops, "watts": watts})
    assert found == pytest.approx(expected)


def test_a_hard_constraint_gives_nothing_outside():
    reward = objectives.constrained("accuracy", {"flops": 100.0})
    assert reward({"accuracy": 0.9, "flops": 100.1}) == 0.0


def test_rounding_is_within_a_limit():
    """0.1 + 0.2 is above 0.3 in floats."""
    reward = objectives.constrained("accuracy", {"watts": 0.3})
    assert reward({"accuracy": 0.9, "watts": 0.1 + 0.2}) == 0.9


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_a_cost_that_is_not_a_number_is_within_no_limit(slope):
    reward = objectives.constrained(
        "accuracy", {"watts": 1.0, "flops": 1.0}, slope
    )
    for flops in (0.5, 2.0):
        metrics = {"accuracy": 0.9, "watts": float("nan"), "flops": flops}
        assert np.isnan(reward(metrics))


def test_a_cost_without_bounds_has_the_least_reward():
    metrics = {"accuracy": 0.9, "watts": float("inf")}
    assert objectives.constrained("accuracy", {"watts": 1.0})(metrics) == 0.0
    sloped = objectives.constrained("accuracy", {"watts": 1.0}, slope=1.0)
    assert sloped(metrics) == -np.inf


def test_a_budget_is_a_limit_of_a_reward():
    budget = objectives.Budget({"flops": 100.0})
    reward = objectives.constrained("accuracy", budget, slope=1.0)
    assert reward({"accuracy": 0.9, "flops": 150.0}) == -0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: objectives.weighted({}), "a weight for every scale"),
        (
            lambda: objectives.weighted({"a": 1.0}, {"b": 1.0}),
            "a weight for every scale",
        ),
        (
            lambda: objectives.weighted({"a": 1.0}, {"a": 0.0}),
            "Scales must be positive",
        ),
        (lambda: objectives.constrained("a", {}), "There must be limits"),
        (
            lambda: objectives.constrained("a", {"b": -1.0}),
            "must be positive and finite",
        ),
        (
            lambda: objectives.constrained("a", {"b": "60%"}),
            "turns percentages into them",
        ),
        (
            lambda: objectives.constrained("a", {"b": 1.0}, slope=-1.0),
            "`slope` must not be negative",
        ),
        (
            lambda: objectives.weighted({"a": 1.0})({"b": 1.0}),
            r"needs the metrics \['a'\]",
        ),
        (
            lambda: objectives.constrained("a", {"b": 1.0})({"a": 1.0}),
            r"needs the metrics \['b'\]",
        ),
        (
            lambda: objectives.pareto_front([[1.0]], ["up"]),
            "Directions must be of",
        ),
        (
            lambda: objectives.pareto_front([[float("nan")]], ["max"]),
            "must be finite",
        ),
        (
            lambda: objectives.ParetoReport({"a": "max"}, {}),
            "at least one point",
        ),
        (
            lambda: objectives.ParetoReport({"a": "max"}, {"x": {"b": 1.0}}),
            "needs the metrics",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def beats(one, other, directions):
    signs = [1.0 if d == "max" else -1.0 for d in directions]
    gains = [s * (a - b) for s, a, b in zip(signs, one, other, strict=True)]
    return min(gains) >= 0.0 and max(gains) > 0.0


@pytest.mark.parametrize(
    "directions", itertools.product(["max", "min"], repeat=3)
)
def test_the_front_is_that_of_brute_force(directions):
    """On a grid, so that there are ties and equal points."""
    points = np.random.default_rng(0).integers(0, 4, (60, 3))
    kept = objectives.pareto_front(points, directions)
    for point, is_kept in zip(points, kept, strict=True):
        is_beaten = any(beats(other, point, directions) for other in points)
        assert is_kept == (not is_beaten)
    assert 0 < kept.sum() < 60


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hypervolume_is_that_of_counted_cells(count):
    """Points on a grid of unit cells: the volume is the number of cells that
    some point dominates."""
    points = np.random.default_rng(count).integers(0, 6, (12, count))
    reference = np.full(count, 6)
    cells = itertools.product(range(6), repeat=count)
    expected = sum(
        any((point <= cell).all() for point in points) for cell in cells
    )
    directions = ["min"] * count
    found = objectives.hypervolume(points, directions, reference)
    assert found == pytest.approx(expected)
    mirrored = objectives.hypervolume(-points, ["max"] * count, -reference)
    assert mirrored == pytest.approx(expected)


@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e12])
def test_hypervolume_keeps_its_digits_in_every_unit(unit):
    """A square of side `unit`."""
    found = objectives.hypervolume(
        [[unit, unit]], ["min", "min"], [2 * unit, 2 * unit]
    )
    assert found == pytest.approx(unit**2, rel=1e-12)


def test_points_beyond_the_reference_count_nothing():
    points = [[0.9, 5.0], [0.4, 1.0], [0.95, 20.0]]
    found = objectives.hypervolume(points, ["max", "min"], [0.5, 10.0])
    assert found == pytest.approx(0.4 * 5.0)
    assert objectives.hypervolume([[0.0, 99.0]], ["max", "min"], [1, 1]) == 0.0


def test_the_report_is_written_and_says_what_it_is(tmp_path):
    generator = np.random.default_rng(0)
    points = {
        f"{i:02d}": {"accuracy": float(a), "flops": float(f)}
        for i, (a, f) in enumerate(generator.uniform(size=(30, 2)))
    }
    report = objectives.ParetoReport(
        {"accuracy": "max", "flops": "min"},
        points,
        {"accuracy": 0.0, "flops": 1.0},
    )
    report.save(tmp_path / "pareto.json")
    content = json.loads((tmp_path / "pareto.json").read_text())
    flops = [points[name]["flops"] for name in content["front"]]
    assert flops == sorted(flops)
    staircase, left = 0.0, 1.0
    for name in reversed(content["front"]):
        staircase += (left - points[name]["flops"]) * points[name]["accuracy"]
        left = points[name]["flops"]
    assert content["hypervolume"] == pytest.approx(staircase)
    table = (tmp_path / "pareto.md").read_text()
    assert table.count("\n| ") == len(content["front"]) + 1
    assert f"{len(content['front'])} of 30 children" in table
    assert (tmp_path / "pareto.png").stat().st_size > 5_000


def test_the_reference_is_the_worst_of_all_by_default():
    points = {
        "a": {"accuracy": 0.9, "flops": 5.0},
        "b": {"accuracy": 0.5, "flops": 2.0},
        "c": {"accuracy": 0.6, "flops": 8.0},
    }
    report = objectives.ParetoReport(
        {"accuracy": "max", "flops": "min"}, points
    )
    assert report.hypervolume == pytest.approx(0.4 * 3.0)
