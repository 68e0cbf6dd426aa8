"""Types: a user's program passes mypy, strictly."""

import subprocess
import sys
import tomllib

from tests.processes import ROOT


def test_a_program_of_a_user_passes_mypy_strictly():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "tests/typed_program.py"]
        + ["--config-file", "tests/typed_program.ini"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


def test_the_marker_of_types_is_part_of_the_package():
    assert (ROOT / "snas_keras" / "py.typed").exists()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    data = settings["tool"]["setuptools"]["package-data"]
    assert "py.typed" in data["snas_keras"]
