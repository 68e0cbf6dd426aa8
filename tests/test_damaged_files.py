"""Files that are damaged or crafted are refused, and change nothing."""

import json

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import objectives, reports
from tests import damage
from tests.conftest import compiled, dense

NUMBER = 120


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
        report.table(), report.hypervolume, report.figure()
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
        found = reports.read_log(path.parent)
        reports.search_report(path.parent)
        return json.dumps(found)

    return folder / name, folder, read


def warnings_of_guard(folder):
    path, _, read = _search(folder, "search.jsonl")
    lines = [
        {"epoch": n, "message": "m", "check": "stalled", "subject": str(n)}
        for n in range(3)
    ]
    text = "".join(reports._json.dumps_sealed(x) + "\n" for x in lines)
    (folder / reports._health.WARNINGS).write_text(text)
    return folder / reports._health.WARNINGS, folder, read


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


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_by_name_or_without_effect(tmp_path, kind):
    path, named, read = kind(tmp_path)
    content, expected = path.read_bytes(), read(path)
    faults = []
    for label, data in damage.damaged(content, NUMBER):
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
    assert keras.config.floatx() == "float32"
