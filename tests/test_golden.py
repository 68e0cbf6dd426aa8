"""Files of released versions load, and mean what they meant."""

import shutil

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import reports
from tests.golden import space
from tests.processes import ROOT

VERSIONS = sorted(p for p in (ROOT / "tests" / "golden").glob("[0-9]*"))
every_version = pytest.mark.parametrize(
    "folder", VERSIONS, ids=lambda path: path.name
)


@pytest.fixture(scope="module")
def supernet():
    return space.compiled_supernet()


def expected(folder):
    with np.load(folder / "expected.npz") as arrays:
        return dict(arrays)


@every_version
def test_genotype_loads(folder):
    genotype = snas_keras.Genotype.load(folder / "genotype.json")
    assert genotype.check(space.golden().choices()) is genotype


@every_version
def test_supernet_loads_with_its_numbers_and_compilation(folder):
    supernet = keras.models.load_model(folder / "supernet.keras")
    x, y = space.data()
    np.testing.assert_allclose(
        supernet.predict(x, verbose=0), expected(folder)["outputs"], atol=1e-5
    )
    genotype = snas_keras.Genotype.load(folder / "genotype.json")
    assert supernet.derive() == genotype
    child = snas_keras.convert(supernet)
    np.testing.assert_allclose(child(x), supernet(x), atol=1e-6)
    logs = supernet.train_on_batch(x, y, return_dict=True)
    assert logs["weight_parameters"] > 0
    assert int(supernet.step) == 3


@every_version
def test_search_goes_on_from_the_checkpoint(folder, tmp_path):
    for name in ("checkpoint.npz", "search.json", "search.jsonl"):
        shutil.copy(folder / name, tmp_path)
    supernet = space.compiled_supernet()
    history = space.fit(supernet, tmp_path, epochs=space.EPOCHS)
    assert len(history.history["loss"]) == space.EPOCHS
    for name, logits in supernet.architecture.logits.items():
        np.testing.assert_allclose(
            logits, expected(folder)[f"logits {name}"], atol=1e-4
        )
    _, lines = reports.read_log(tmp_path)
    assert [line["epoch"] for line in lines] == [0, 1]


@every_version
def test_latency_table_knows_every_layer(folder, supernet):
    table = snas_keras.LatencyTable.load(
        folder / "latency.json", elsewhere=True
    )
    report = snas_keras.space_report(space.golden(), costs=[table])
    assert report.costs["latency"].maximum > 0


@every_version
def test_log_is_read(folder):
    about, lines = reports.read_log(folder)
    assert about["name"] == "golden"
    assert set(lines[0]["genotype"]) == set(space.golden().choices())
