"""Trials of a tuner share no files, and go on where they were killed."""

import keras
import keras_tuner
import numpy as np
import pytest

import snas_keras
from snas_keras import tuner

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X @ np.float32([[1.0], [-1.0], [2.0], [0.5]])


@snas_keras.search_space
def single(choose):
    inputs = keras.Input((4,))
    return inputs, choose("block", {"linear": keras.layers.Dense(1)})(inputs)


def compile_child(hp, model):
    rate = hp.Choice("rate", [1e-6, 0.1])
    model.compile(keras.optimizers.SGD(rate), "mse")


@pytest.fixture
def search(tmp_path):
    """Return a function that runs a grid of two trials with callbacks."""

    def run(data, *callbacks, name="grid", **options):
        found = keras_tuner.GridSearch(
            tuner.SearchSpaceHyperModel(single(), compile_child),
            keras_tuner.Objective("loss", "min"),
            max_trials=2,
            directory=tmp_path,
            project_name=name,
            **options,
        )
        found.search(data, epochs=4, verbose=0, callbacks=list(callbacks))
        return found.oracle.trials.values()

    return run


def batches():
    return snas_keras.AddressableBatches(X, Y, 8)


def by_rate(trials):
    return {t.hyperparameters.values["rate"]: t for t in trials}


@pytest.mark.slow
def test_every_trial_has_a_checkpoint_of_its_own(tmp_path, search):
    """Scores are those of a search without checkpoints."""
    plain = by_rate(search(batches(), name="plain"))
    data = batches()
    checkpoint = snas_keras.SearchCheckpoint(tmp_path / "a.npz", data, every=1)
    keras.utils.set_random_seed(0)
    found = by_rate(search(data, checkpoint))
    assert {t.status for t in found.values()} == {"COMPLETED"}
    assert found[0.1].score < 0.5 * found[1e-6].score
    assert plain[0.1].score < 0.5 * plain[1e-6].score
    files = sorted(p.name for p in tmp_path.glob("a*.npz"))
    assert [name[:8] for name in files] == ["a-trial_"] * 2


@pytest.mark.slow
def test_executions_of_a_trial_are_not_resumed_from_each_other(
    tmp_path, search
):
    data = batches()
    checkpoint = snas_keras.SearchCheckpoint(tmp_path / "a.npz", data)
    search(data, checkpoint, executions_per_trial=2)
    names = sorted(p.stem[-2:] for p in tmp_path.glob("a*.npz"))
    assert names == ["-0", "-0", "-1", "-1"]


class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_a_killed_trial_goes_on(tmp_path, search, capsys):
    for callbacks in ([Kill()], []):
        data = batches()
        own = snas_keras.SearchCheckpoint(tmp_path / "a.npz", data)
        try:
            trials = search(data, own, *callbacks, overwrite=False)
        except KeyboardInterrupt:
            with np.load(next(tmp_path.glob("a-trial_*.npz"))) as file:
                steps = int(file["optimizer.0"])
    assert steps == 8
    assert {trial.status for trial in trials} == {"COMPLETED"}
    for path in tmp_path.glob("a-trial_*.npz"):
        with np.load(path) as file:
            assert int(file["optimizer.0"]) == 16


def test_model_checkpoints_are_parted_and_backups_refused(tmp_path, search):
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    search(batches(), saver)
    names = [path.name for path in tmp_path.glob("*.keras")]
    assert sorted(name[-11:] for name in names) == ["-best.keras"] * 2
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    trials = search(batches(), backup, name="backup", max_retries_per_trial=0)
    assert all("use SearchCheckpoint" in trial.message for trial in trials)
