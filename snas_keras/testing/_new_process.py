"""Outputs of saved models, loaded here or in a new process."""

import pathlib
import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import keras

_PROGRAM = """
import importlib, pickle, sys
import snas_keras
from snas_keras.testing import _new_process

folder, inputs, modules = pickle.loads(sys.stdin.buffer.read())
for module in modules:
    importlib.import_module(module)
with open(folder / "outputs.pickle", "wb") as file:
    pickle.dump(_new_process.outputs(folder, inputs), file)
"""


def outputs(folder: pathlib.Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """Load models and predict.

    Args:
        folder: path where the files "LABEL.keras" are.
        inputs: {label: inputs as `predict` takes them}.

    Returns:
        {label: outputs}.
    """
    return {
        label: keras.saving.load_model(folder / f"{label}.keras").predict(
            x, verbose=0
        )
        for label, x in inputs.items()
    }


def outputs_elsewhere(
    folder: pathlib.Path,
    inputs: dict[str, Any],
    modules: Sequence[str] = (),
) -> dict[str, Any]:
    """Load models and predict in a new process.

    Args:
        folder: path where the files "LABEL.keras" are.
        inputs: {label: inputs as `predict` takes them}.
        modules: sequence of str, modules to import first, default none.

    Returns:
        {label: outputs}.

    Raises:
        RuntimeError: the process failed; the message has the end of what it
            said.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=pickle.dumps((folder, inputs, list(modules))),
        capture_output=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-2000:])
    with open(folder / "outputs.pickle", "rb") as file:
        found: dict[str, Any] = pickle.load(file)
    return found
