"""Every program that documents show runs, and what comes out makes sense."""

import pathlib
import re

import keras
import numpy as np
import pytest
from sklearn import datasets, model_selection

import snas_keras
from tests.processes import ROOT, run

EXAMPLES = ROOT / "examples"
SEED = "set_random_seed(0)"
KL = keras.layers


def accuracy_of(program, folder, seed=0):
    """Run a program with another seed; return what it prints as accuracy."""
    assert SEED in program
    path = pathlib.Path(folder) / "program.py"
    path.write_text(program.replace(SEED, f"set_random_seed({seed})"))
    done = run(path, cwd=folder, PYTHONIOENCODING="utf-8")
    assert "Genotype: {" in done.stdout
    return float(re.search(r"(?i)test accuracy[^:]*: (\S+)", done.stdout)[1])


@pytest.fixture(scope="module")
def accuracy_by_hand():
    """What convolutions that one would write first have learned of digits."""
    keras.utils.set_random_seed(0)
    x, y = datasets.load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = model_selection.train_test_split(
        x.reshape(-1, 8, 8, 1) / 16, y, random_state=0
    )
    blocks = []
    for _ in range(3):
        blocks += [KL.Conv2D(12, 3, padding="same", activation="relu")]
        blocks += [KL.BatchNormalization(momentum=0.9)]
    model = keras.Sequential(
        [*blocks, KL.GlobalAveragePooling2D(), KL.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=15, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def programs_of(document):
    text = (ROOT / document).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.S)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_first_program_of_the_readme_is_near_one_by_hand(
    tmp_path, seed, accuracy_by_hand
):
    found = accuracy_of(programs_of("README.md")[0], tmp_path, seed)
    assert found > accuracy_by_hand - 0.04


@pytest.mark.slow
def test_the_programs_of_the_readme_go_on_where_the_one_before_ends(
    tmp_path, accuracy_by_hand
):
    """With the first program's own seed."""
    found = accuracy_of("\n".join(programs_of("README.md")), tmp_path)
    assert found > accuracy_by_hand - 0.04
    assert (tmp_path / "served" / "saved_model.pb").exists()
    table = snas_keras.LatencyTable.load(tmp_path / "latency.json")
    assert table.entries
    assert len(list(tmp_path.glob("tuned/*/trial_*"))) == 5


@pytest.mark.slow
def test_the_programs_on_extending_run(tmp_path):
    """They check what they add, so a broken promise fails."""
    program = "\n".join(programs_of("docs/extending.md"))
    (tmp_path / "program.py").write_text(program)
    run(tmp_path / "program.py", cwd=tmp_path)
    assert program.count("testing.check_") == 7


def test_the_table_of_extending_names_files_and_registries_that_are():
    text = (ROOT / "docs" / "extending.md").read_text()
    table = re.findall(r"^\| .*", text, re.M)[2:]
    assert len(table) == 8
    for row in table:
        place, line = (cell.strip() for cell in row.split("|")[2:4])
        path = re.search(r"`(snas_keras/\S+)`", place)[1]
        registry, *others = re.findall(r"`([^`]+)`", line)
        assert (ROOT / path).exists(), path
        source = (ROOT / (others[0] if others else path)).read_text()
        assert re.search(rf"^{registry}\b.* = ", source, re.M), row


def test_the_first_program_of_the_readme_is_short_and_uses_no_name_twice():
    first = programs_of("README.md")[0]
    lines = [line for line in first.splitlines() if line.strip()]
    assert len(lines) <= 35
    assert max(map(len, lines)) <= 88
    names = re.findall(r"^(\w+) = ", first, re.M)
    assert len(names) == len(set(names))


def test_examples_are_five_short_programs_on_public_names():
    paths = sorted(EXAMPLES.glob("*.py"))
    assert len(paths) == 5
    for path in paths:
        program = path.read_text()
        assert 25 <= len(program.splitlines()) <= 60, path
        assert not re.search(r"\b_[a-z]", program), path
        assert f"python examples/{path.name}" in program


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_quickstart_is_near_a_network_by_hand(tmp_path, accuracy_by_hand, seed):
    program = (EXAMPLES / "quickstart.py").read_text()
    assert accuracy_of(program, tmp_path, seed) > accuracy_by_hand - 0.04
    folder = tmp_path / "runs" / "quickstart"
    assert (folder / "served" / "saved_model.pb").exists()
    assert (folder / "report.html").exists()
    snas_keras.Genotype.load(folder / "genotype.json")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_own_layers_keep_the_limit_and_learn(tmp_path, seed):
    """Half of the largest child's parameters: one of three dense layers."""
    program = (EXAMPLES / "own_layers.py").read_text()
    # One dense layer of 64 units by hand reaches 0.96 to 0.98 of held-out data.
    assert accuracy_of(program, tmp_path, seed) > 0.94
    served = tmp_path / "runs" / "own_layers"
    genotype = snas_keras.Genotype.load(served / "genotype.json")
    assert list(genotype.values()).count("dense") == 1
    assert (served / "saved_model.pb").exists()


@pytest.mark.slow
def test_tuned_child_is_near_a_network_by_hand(tmp_path, accuracy_by_hand):
    program = (EXAMPLES / "tune.py").read_text()
    assert accuracy_of(program, tmp_path) > accuracy_by_hand - 0.04
    assert len(list(tmp_path.glob("runs/tune/*/trial_*"))) == 8


@pytest.mark.slow
def test_deployed_child_is_near_a_network_by_hand(tmp_path, accuracy_by_hand):
    program = (EXAMPLES / "deploy.py").read_text()
    assert accuracy_of(program, tmp_path) > accuracy_by_hand - 0.04
    folder = tmp_path / "runs" / "deploy"
    assert snas_keras.LatencyTable.load(folder / "latency.json").entries
    assert np.fromfile(folder / "digits.tflite", "uint8").size > 1_000


@pytest.mark.slow
def test_child_of_two_workers_is_near_a_network_by_hand(
    tmp_path, accuracy_by_hand
):
    program = (EXAMPLES / "multi_worker.py").read_text()
    assert accuracy_of(program, tmp_path) > accuracy_by_hand - 0.04
    folder = tmp_path / "runs" / "multi_worker"
    snas_keras.Genotype.load(folder / "genotype.json")
