"""The benchmarks run and do the whole step; no time is asserted."""

import json

import pytest

from benchmarks import harness
from tests.processes import run

SMALL = "--cells 1 --channels 2 --batch 2 --image 8 --steps 2".split()


def measured(script, tmp_path, *options):
    output = tmp_path / "out.json"
    run(f"benchmarks/{script}", *SMALL, *options, "--output", output)
    report = json.loads(output.read_text())
    assert report["machine"]["cores"] >= 1
    return report["rows"]


@pytest.mark.slow
def test_search_step_writes_what_it_measured(tmp_path):
    [row] = measured("search_step.py", tmp_path)
    assert len(row["all_steps_seconds"]) == 2
    assert row["step_seconds"] > 0
    assert row["logits"] == 14 * 8


@pytest.mark.slow
def test_a_child_and_the_network_by_hand_take_turns(tmp_path):
    one, other = measured("child_step.py", tmp_path, "--predict")
    assert (one["name"], other["name"]) == ("by hand", "child")
    assert one["parameters"] == other["parameters"]
    assert one["operations"] == other["operations"]
    assert one["ratio"] == 1.0


def test_contestants_of_different_work_are_refused():
    rows = [{"name": "a", "parameters": 1}, {"name": "b", "parameters": 2}]
    harness.check_same(rows[:1], ["parameters"])
    with pytest.raises(ValueError, match="'b' has 2"):
        harness.check_same(rows, ["parameters"])


def test_a_contestant_that_dies_is_reported():
    contestant = harness.Contestant("missing", "no_such_script.py")
    with pytest.raises(RuntimeError, match="can't open file"):
        harness.side_by_side([contestant], steps=1)


def test_the_ratio_is_taken_round_by_round():
    slow = {"all_steps_seconds": [2.0, 4.0, 8.0]}
    fast = {"all_steps_seconds": [1.0, 1.0, 4.0]}
    assert harness.ratio(slow, fast) == 2.0


def test_a_table_is_markdown(capsys):
    harness.print_table([{"n": 1}], {"number": lambda row: str(row["n"])})
    expected = "| number |\n| --- |\n| 1 |\n"
    assert capsys.readouterr().out == expected


@pytest.mark.slow
def test_oracles_are_compared_on_known_objectives(tmp_path):
    output = tmp_path / "oracles.json"
    run(
        *("benchmarks/oracles.py", "--trials", 12, "--seeds", 2),
        *("--output", output),
    )
    rows = json.loads(output.read_text())["rows"]
    assert len(rows) == 2 * 4
    for row in rows:
        assert len(row["regret_of_best"]) == 2
        for best, last in zip(
            row["regret_of_best"], row["regret_of_last_quarter"], strict=True
        ):
            assert 0.0 <= best <= last
