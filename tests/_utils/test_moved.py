"""Old import paths lead to the new ones, and say so."""

import importlib
import json
import pathlib
import warnings

import numpy as np
import pytest

import snas_keras
from snas_keras import costs, layers, supernet, training

# What the first release let users import from below `snas_keras`.
NAMES = json.loads(
    (pathlib.Path(__file__).parent / "names_of_0.1.json").read_text()
)
OLD = [
    ("resources", "ChildCost", costs.ChildCost),
    ("resources", "Resource", snas_keras.Resource),
    ("export", "export_litert", snas_keras.export_litert),
    ("architecture", "Architecture", supernet.Architecture),
    ("layers", "BatchNormalization", layers.FusedBatchNormalization),
    ("layers", "SeparableConv2D", layers.PhasedSeparableConv2D),
    ("multi_worker", "launch", training.launch),
]


@pytest.mark.parametrize(("module", "name", "now"), OLD)
def test_an_old_path_warns_and_gives_the_same_object(module, name, now):
    old = importlib.import_module(f"snas_keras.{module}")
    assert getattr(snas_keras, module) is old
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is now"):
        assert getattr(old, name) is now


@pytest.mark.parametrize("module", NAMES)
def test_what_the_first_release_gave_is_importable(module):
    old = importlib.import_module(f"snas_keras.{module}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in NAMES[module]:
            assert getattr(old, name) is not None


def test_an_unknown_name_is_missing():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        snas_keras.resources.nothing  # noqa: B018


def test_old_methods_of_a_supernet_warn_and_call_the_new_ones(dense_space):
    net = snas_keras.build_supernet(dense_space)
    net.compile(loss="mse", resource=snas_keras.Resource("flops", 0.5))
    z = net.architecture.sample(0)
    with pytest.warns(DeprecationWarning, match=r"resource_loss.*penalties"):
        loss = net.resource_loss(z)
    expected = net.penalties.loss(net.architecture, z, net.step)
    assert float(loss) == float(expected) > 0
    with pytest.warns(DeprecationWarning, match=r"give is now .*set_override"):
        net.give(z)
    assert all(np.array_equal(net.override[name], z[name]) for name in z)


def test_a_public_module_keeps_its_path_without_a_warning():
    old = importlib.import_module("snas_keras.published")
    assert old is snas_keras.published
