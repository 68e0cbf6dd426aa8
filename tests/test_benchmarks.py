"""The benchmarks run and do the whole step; no time is asserted."""

import json

from tests.processes import run

SCRIPT = "benchmarks/search_step.py"


def test_search_step_writes_what_it_measured(tmp_path):
    output = tmp_path / "step.json"
    options = "--cells 3 --channels 2 --batch 2 --image 8 --steps 3".split()
    run(SCRIPT, *options, "--output", output)
    report = json.loads(output.read_text())
    assert len(report["all_steps_seconds"]) == 3
    assert report["step_seconds"] > 0
    assert report["options"]["cells"] == 3
