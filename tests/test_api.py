"""The shape of the library: names, layers, docstrings, tests, examples."""

import ast
import doctest
import importlib
import importlib.util
import inspect
import pathlib
import re
import tempfile

import keras
import numpy as np
import pytest

import snas_keras
from tests.processes import ROOT

PACKAGE = ROOT / "snas_keras"
PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

# The plan of the house: what each room may import, `_utils` aside, which all
# may use.
MAY_IMPORT = {
    "_utils": set(),
    "estimators": set(),
    "objectives": set(),
    "layers": set(),
    "training": {"layers"},
    "spaces": {"layers"},
    "children": {"layers", "spaces"},
    "costs": {"children", "layers", "spaces"},
    "supernet": {"costs", "estimators", "layers", "spaces", "training"},
    "reports": {
        *("children", "costs", "layers", "objectives", "spaces", "supernet"),
    },
    "tuner": {"children", "objectives", "spaces", "supernet"},
    "testing": {
        *("children", "costs", "estimators", "layers", "spaces", "supernet"),
    },
}
ONLY_IN = {
    "tensorflow_probability": {"estimators"},
    "keras_tuner": {"oracles", "tuner"},
    "tensorflow_datasets": set(),
}
SIGNATURES = {
    "AddressableBatches": "(x, y, batch_size, seed=0, sample_weight=None, "
    "augment=None)",
    "Architecture": "(choices, estimator='relaxed', temperature=1.0, seed=0, "
    "**kwargs)",
    "CoupledSGD": "(learning_rate=0.025, momentum=0.9, nesterov=False, "
    "weight_decay=0.0, **kwargs)",
    "DropPathSchedule": "(final=0.2)",
    "Genotype": "(choices)",
    "HealthGuard": "(run_directory=None, patience=5)",
    "LatencyTable": "(entries, machine, batch_size, device=None, scale=1.0, "
    "held_out=None)",
    "MixedEdge": "(candidates, choice=None, single_path=False, "
    "is_spread=False, **kwargs)",
    "Resource": "(cost, weight=None, form='linear', gradient='expected', "
    "name=None, limit=None, rate=0.02, estimator=None)",
    "SearchCheckpoint": "(path, batches, every=None)",
    "SearchLogger": "(run_directory, costs=('parameters',), tensorboard=None)",
    "SearchSpace": "(function, **options)",
    "SuperNet": "(network, architecture, recompute=False, resource=None, "
    "**kwargs)",
    "TemperatureSchedule": "(schedule='linear')",
    "build_child": "(space, genotype, **options)",
    "build_supernet": "(space, estimator='relaxed', temperature=1.0, seed=0, "
    "recompute=False)",
    "cell": "(choose, name, before, previous, filters, strides=1, "
    "halve_before=False, nodes=4, candidates=('none', 'max_pool_3x3', "
    "'avg_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'sep_conv_5x5', "
    "'dil_conv_3x3', 'dil_conv_5x5'), affine=True, drop_path=0.0)",
    "convert": "(supernet, genotype=None, verify=True)",
    "export_litert": "(model, path)",
    "export_onnx": "(model, path)",
    "export_saved_model": "(model, path, genotype=None)",
    "for_inference": "(model, output=None)",
    "measure_latency": "(supernet, batch_size=1, device=None, *, "
    "repeats=20, held_out=8, seed=0, verbose=1)",
    "recalibrate_batch_norm": "(model, data, steps=None)",
    "retention_report": "(supernet, data, train_data=None, *, metric=None, "
    "direction=None, cost='flops', draws=8, children=8, "
    "recalibration_steps=None, fine_tune=None, seed=0)",
    "search_report": "(run_directory, path=None)",
    "search_space": "(function)",
    "space_report": "(space, costs=('parameters', 'flops'))",
}


def trees(folder):
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_public_names_and_signatures_are_the_recorded_ones():
    dicts = {
        "COSTS",
        "DERIVATIONS",
        "ESTIMATORS",
        "OPERATIONS",
        "SCHEDULES",
        "SEARCH_SPACES",
    }
    assert set(snas_keras.__all__) == {
        *SIGNATURES,
        *dicts,
        "SearchWarning",
        "published",
    }
    for name, recorded in SIGNATURES.items():
        signature = inspect.signature(getattr(snas_keras, name))
        plain = signature.replace(
            parameters=[
                p.replace(annotation=p.empty)
                for p in signature.parameters.values()
            ],
            return_annotation=signature.empty,
        )
        assert str(plain) == recorded, name


def rooms_imported(tree):
    """Yield (room, parts of the name below it) of our own imports."""
    for name in imported(tree):
        first, _, rest = name.partition(".")
        room, _, below = rest.partition(".")
        if first == "snas_keras" and room in MAY_IMPORT:
            yield room, below.split(".")


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_what_they_may_and_by_the_front_door(room):
    for path, tree in trees(PACKAGE / room):
        for other, below in rooms_imported(tree):
            if other in (room, "_utils"):
                continue
            assert other in MAY_IMPORT[room], f"{path}: {other}"
            assert not any(p.startswith("_") for p in below), f"{path}: {below}"


def test_the_plan_has_no_circle():
    left = dict(MAY_IMPORT)
    while left:
        lowest = [room for room, below in left.items() if not below & set(left)]
        assert lowest, f"a circle among {sorted(left)}"
        for room in lowest:
            del left[room]


@pytest.mark.parametrize("module", PATHS)
def test_forbidden_imports_are_absent(module):
    for name in imported(ast.parse(PATHS[module].read_text())):
        assert not name.startswith(("keras.src", "tensorflow.python"))
        top = name.split(".")[0]
        assert any(x in module for x in ONLY_IN.get(top, {module})), name


def test_public_objects_are_documented():
    for name in SIGNATURES:
        text = inspect.getdoc(getattr(snas_keras, name))
        assert text.splitlines()[0].endswith("."), name
        if inspect.signature(getattr(snas_keras, name)).parameters:
            assert "Args:" in text, name


@pytest.mark.parametrize("module", PATHS)
def test_doctests_run(module):
    names = {
        "keras": keras,
        "np": np,
        "snas_keras": snas_keras,
        "tempfile": tempfile,
    }
    found = importlib.import_module(module)
    result = doctest.testmod(found, extraglobs=names)
    assert result.failed == 0


def test_there_are_doctests():
    text = "".join(p.read_text() for p in PACKAGE.rglob("*.py"))
    assert text.count(">>> ") > 30


def test_every_test_asserts_something():
    for path, tree in trees(ROOT / "tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith(
                "test_"
            ):
                body = ast.dump(node)
                words = ("Assert(", "raises", "warn", "assert", "check_")
                assert any(w in body for w in words), f"{path}:{node.name}"


def test_functions_are_short():
    for path, tree in trees(PACKAGE):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body
                if ast.get_docstring(node):
                    body = body[1:]
                lines = body[-1].end_lineno - body[0].lineno if body else 0
                assert lines < 40, f"{path.name}: {node.name}"


DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_what_exists(path):
    """Every `snas_keras.name`, path in backticks and link is there."""
    text = path.read_text()
    for name in re.findall(r"snas_keras\.([A-Za-z_]+)", text):
        is_there = hasattr(snas_keras, name)
        assert is_there or importlib.util.find_spec(f"snas_keras.{name}"), name
    folders = "benchmarks|docs|examples|experiments|snas_keras|tests"
    for named in re.findall(rf"`((?:{folders})/[\w./]+)`", text):
        assert (ROOT / named).exists(), named
    for command in re.findall(r"python ((?:\w+/)+\w+\.py)", text):
        assert (ROOT / command).exists(), command
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (path.parent / link.partition("#")[0]).exists(), link


def test_ci_runs_the_test_command_of_the_readme():
    script = (pathlib.Path(ROOT) / ".ci" / "run").read_text()
    assert "README.md" in script
    assert "ruff check" in script
    assert "ruff format --check" in script
