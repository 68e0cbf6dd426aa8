"""How a child is read off a supernet."""

import keras
import numpy as np
import pytest

import snas_keras


@snas_keras.search_space
def cells(choose):
    """Node 2 has two inputs, node 3 has three; all of one shape."""
    x = inputs = keras.Input((4,))
    states = [x, keras.layers.Dense(4)(x)]
    for target in (2, 3):
        terms = [
            choose(
                f"normal_{source}->{target}",
                {
                    "none": keras.layers.Rescaling(0.0),
                    "skip": keras.layers.Identity(),
                    "dense": keras.layers.Dense(4),
                },
            )(state)
            for source, state in enumerate(states)
        ]
        states.append(keras.layers.Add()(terms))
    return inputs, states[-1]


def supernet_with(space, logits):
    supernet = snas_keras.build_supernet(space)
    for name, row in logits.items():
        supernet.architecture.logits[name].assign(row)
    return supernet


def test_darts_keeps_the_two_best_edges_of_a_node_and_never_none():
    supernet = supernet_with(
        cells(),
        {
            "normal_0->2": [9.0, 0.0, 1.0],
            "normal_1->2": [0.0, 3.0, 1.0],
            "normal_0->3": [0.0, 0.0, 4.0],
            "normal_1->3": [5.0, 0.0, 1.0],
            "normal_2->3": [0.0, 2.0, 0.0],
        },
    )
    assert supernet.derive(method="darts") == {
        "normal_0->2": "dense",
        "normal_1->2": "skip",
        "normal_0->3": "dense",
        "normal_1->3": "none",
        "normal_2->3": "skip",
    }
    assert supernet.derive(method="mode")["normal_0->2"] == "none"


def test_darts_is_refused_where_there_are_no_cells(dense_space):
    supernet = snas_keras.build_supernet(dense_space)
    with pytest.raises(ValueError, match="for cells.*'block_0'"):
        supernet.derive(method="darts")


def test_a_function_is_a_method_and_an_unknown_name_is_refused(dense_space):
    supernet = snas_keras.build_supernet(dense_space)
    genotype = dense_space.random_genotype(3)
    assert supernet.derive(method=lambda net: genotype) is genotype
    with pytest.raises(ValueError, match="method='best'. Allowed: .*'darts'"):
        supernet.derive(method="best")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_name_no_child(dense_space, bad):
    supernet = supernet_with(dense_space, {"block_1": [0.0, bad, 0.0]})
    for method in snas_keras.DERIVATIONS:
        with pytest.raises(ValueError, match=r"not finite.*\['block_1'\]"):
            supernet.derive(method)
    with pytest.raises(ValueError, match="not finite"):
        snas_keras.convert(supernet)


def test_the_former_derive_of_the_architecture_warns(dense_space):
    supernet = supernet_with(dense_space, {"block_1": [0.0, 2.0, 0.0]})
    with pytest.warns(DeprecationWarning, match=r"derive\('mode'\)"):
        assert supernet.architecture.derive() == supernet.derive("mode")
