"""Run python in a process of its own, as a user would."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def run(*arguments, check=True, cwd=ROOT, **environment):
    """Return the finished process; PYTHONHASHSEED is not set in it."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONHASHSEED"}
    env.update(TF_CPP_MIN_LOG_LEVEL="3", PYTHONPATH=str(ROOT), **environment)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=env,
        cwd=cwd,
    )
    if check:
        assert done.returncode == 0, done.stderr[-3000:]
    return done
