"""The experiments on digits run, in a few epochs and trials."""

import json

import pytest

from snas_keras import costs
from tests.processes import ROOT, run

EXPERIMENTS = ROOT / "experiments"


@pytest.mark.slow
def test_oracles_are_compared_and_the_best_retrained(tmp_path):
    done = run(
        EXPERIMENTS / "compare_oracles.py",
        *"--epochs 1 --trials 2 --seeds 1 --output".split(),
        tmp_path,
    )
    for label in ("from the supernet", "evolution", "random search"):
        assert f"\n  {label} " in done.stdout
    assert "trained anew" in done.stdout
    retrained = tmp_path.glob("from the supernet_0/*/retrained/*.json")
    assert len(list(retrained)) == 2


@pytest.mark.slow
def test_the_pareto_set_is_written(tmp_path):
    run(
        EXPERIMENTS / "pareto.py",
        *"--epochs 2 --trials 4 --output".split(),
        tmp_path,
    )
    report = json.loads((tmp_path / "pareto.json").read_text())
    assert 1 <= len(report["front"]) <= len(report["points"]) <= 8
    assert (tmp_path / "pareto.png").stat().st_size > 5_000


@pytest.mark.slow
def test_limits_leave_a_page_for_every_search(tmp_path):
    """Measured milliseconds are a limit too; the table says what was kept."""
    done = run(
        EXPERIMENTS / "limit_the_cost.py",
        *("--epochs", 1, "--seeds", 1, "--output", tmp_path),
        *("--limits", "60% of the milliseconds"),
        PYTHONIOENCODING="utf-8",
    )
    [runs] = json.loads((tmp_path / "limits.json").read_text()).values()
    assert all(0.0 < found["cost"] <= found["most_expensive"] for found in runs)
    assert "\n| 60% of the milliseconds |" in done.stdout
    assert len(list(tmp_path.glob("60%_*_0/report.html"))) == 1
    costs.LatencyTable.load(tmp_path / "latency.json")


def test_the_page_on_limits_has_the_table_of_the_runs(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import limit_the_cost

    found = json.loads((ROOT / "docs" / "limits.json").read_text())
    page = (ROOT / "docs" / "limits.md").read_text()
    assert limit_the_cost.table_of(found) in page
