"""Files that are damaged or crafted are refused, and change nothing."""

import json

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import objectives, reports
from snas_keras.reports import _health, _json, _read
from tests import damage
from tests.conftest import compiled, dense


def genotype(folder):
    path = folder / "genotype.json"
    dense().random_genotype(0).save(path)
    return path, path, snas_keras.Genotype.load


def pareto(folder):
    path = folder / "pareto.json"
    points = {"a": {"loss": 0.5, "cost": 2.0}, "b": {"loss": 0.7, "cost": 1.0}}
    objectives.ParetoReport({"loss": "min", "cost": "min"}, points).save(path)

    def read(path):
        report = objectives.ParetoReport.load(path)
        report.table(), report.hypervolume
        return report

    return path, path, read


def log(folder):
    return _search(folder, "search.jsonl")


def search(folder):
    return _search(folder, "search.json")


def _search(folder, name):
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    supernet = compiled(dense())
    logger = reports.SearchLogger(folder, tensorboard=False)
    guard = reports.HealthGuard(folder)
    callbacks = [logger, guard]
    y = np.zeros(32)
    supernet.fit(x, y, epochs=3, verbose=0, callbacks=callbacks)

    def read(path):
        # As JSON, where null is equal to itself; keys may change places.
        return json.loads(json.dumps(reports.read_log(path.parent)))

    return folder / name, folder, read


def warnings_of_guard(folder):
    path = folder / _health.WARNINGS
    lines = [
        {"epoch": n, "message": "m", "check": "stalled", "subject": str(n)}
        for n in range(3)
    ]
    text = "".join(_json.dumps_sealed(x) + "\n" for x in lines)
    path.write_text(text)

    def read(path):
        found = _read.read_lines(path, _health.Finding.from_json)
        return sorted(found, key=lambda finding: finding.epoch)

    return path, path, read


def latency(folder):
    path = folder / "latency.json"
    supernet = compiled(dense())
    table = snas_keras.measure_latency(
        supernet, repeats=1, held_out=0, verbose=0
    )
    table.save(path)

    def read(path):
        table = snas_keras.LatencyTable.load(path)
        table.report()
        return table.get_config()

    return path, path, read


KINDS = [genotype, pareto, log, search, warnings_of_guard, latency]


@pytest.mark.parametrize(
    "number", [40, pytest.param(700, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_by_name_or_without_effect(tmp_path, kind, number):
    path, named, read = kind(tmp_path)
    content, expected = path.read_bytes(), read(path)
    faults = []
    for label, data in damage.damaged(content, number, seed=number):
        path.write_bytes(data)
        try:
            found = read(path)
        except ValueError as error:
            if str(named) not in str(error):
                faults.append((label, data[:80], repr(error)))
        except Exception as error:
            faults.append((label, data[:80], repr(error)))
        else:
            # What is not proved may be of the first release, or edited.
            is_proved = data.count(b'"checksum"') == content.count(
                b'"checksum"'
            )
            if is_proved and found != expected:
                faults.append((label, data[:80], found))
    assert not faults, (len(faults), faults[:20])
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="is a directory"):
        read(path)
    assert keras.config.floatx() == "float32"
