"""Two worker processes on this machine against one process."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from snas_keras import training as training_lib
from snas_keras.training import _multi_worker
from tests.processes import ROOT, run

SCRIPT = "tests.scripts.multi_worker_search"
WORKERS = ("worker_0.npz", "worker_1.npz")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    run("-m", SCRIPT, folder)
    return dict(np.load(folder / "worker_0.npz"))


def together(folder, monkeypatch, *arguments, restarts=0):
    """Train by two workers; return how often they were started again, and
    what each has written."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.chdir(ROOT)
    # What a hanging worker would need is a bound: `timeout` is one.
    command = ["timeout", "120", sys.executable, "-m", SCRIPT, folder]
    restarted = training_lib.launch(
        [*command, *arguments], workers=2, restarts=restarts
    )
    return restarted, [dict(np.load(folder / name)) for name in WORKERS]


@pytest.mark.slow
def test_two_workers_equal_one_process_on_the_global_batch(
    tmp_path, monkeypatch, alone
):
    """Weights, logits, history and evaluation after twelve steps; float32 sums
    in another order."""
    _, workers = together(tmp_path, monkeypatch)
    assert alone["step"] == 12
    for arrays in workers:
        assert arrays.keys() == alone.keys()
        for name, value in alone.items():
            np.testing.assert_allclose(arrays[name], value, atol=1e-6)


@pytest.mark.slow
def test_a_killed_worker_goes_on_from_the_checkpoint(
    tmp_path, monkeypatch, alone
):
    """Killed after step 5 of 12, in the middle of the second epoch."""
    restarted, workers = together(tmp_path, monkeypatch, 5, restarts=1)
    assert restarted == 1
    assert (tmp_path / "died").exists()
    for arrays in workers:
        for name, value in alone.items():
            np.testing.assert_allclose(arrays[name], value, atol=1e-6)


def test_a_program_that_keeps_failing_is_given_up():
    with pytest.raises(RuntimeError, match="failed 3 times"):
        training_lib.launch(["false"], workers=2, restarts=2)


def test_one_failure_ends_the_others():
    """The first worker would sleep for a minute."""
    program = (
        "import json, os, time;"
        "index = json.loads(os.environ['TF_CONFIG'])['task']['index'];"
        "time.sleep(60 * (1 - index));"
        "raise SystemExit(index)"
    )
    codes = _multi_worker._run_workers([sys.executable, "-c", program], 2)
    assert codes == [None, 1]


def test_without_workers_there_is_one_chief():
    assert training_lib.is_chief(None)
    assert not training_lib.is_multi_worker(None)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    assert training_lib.is_chief(strategy)
    assert not training_lib.is_multi_worker(strategy)


class _Cluster(tf.distribute.MultiWorkerMirroredStrategy):
    """The parts of the strategy that say who this worker is."""

    def __init__(self, jobs, task_type, task_id):
        self.resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(jobs), "", task_type, task_id
        )

    cluster_resolver = property(lambda self: self.resolver)


@pytest.mark.parametrize(
    ("jobs", "task", "is_chief"),
    [
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("chief", 0), True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("worker", 0), False),
    ],
)
def test_the_chief_is_the_first_worker(jobs, task, is_chief):
    strategy = _Cluster(jobs, *task)
    assert training_lib.is_multi_worker(strategy)
    assert training_lib.is_chief(strategy) == is_chief
