"""Published cells and the formats of others."""

import itertools
import json
import math

import pytest

import snas_keras
from snas_keras import SEARCH_SPACES, Genotype, build_child
from snas_keras.spaces import published

RETRAINED = {"cells": 20, "channels": 36, "affine": True}
# As the authors' code prints them, without the auxiliary classifier.
PARAMETERS = {"snas_moderate": 2_848_222, "darts_v2": 3_349_342}
# In millions. The papers say the same, but for mild: 2.9.
MILLIONS = {
    "snas_mild": 2.7,
    "snas_moderate": 2.8,
    "snas_aggressive": 2.3,
    "darts_v2": 3.3,
}
LIVE = {
    "snas_mild": (8, 8),
    "snas_moderate": (8, 8),
    "snas_aggressive": (8, 2),
    "darts_v2": (8, 8),
}
MODERATE = """
SNAS_moderate = Genotype(
  normal=[
    ('dil_conv_5x5', 0), ('skip_connect', 1),
    ('sep_conv_3x3', 0), ('skip_connect', 1),
    ('skip_connect', 0), ('skip_connect', 1),
    ('sep_conv_3x3', 0), ('dil_conv_5x5', 1)],
  normal_concat=range(2, 6),
  reduce=[
    ('max_pool_3x3', 0), ('max_pool_3x3', 1),
    ('sep_conv_5x5', 0), ('dil_conv_5x5', 1),
    ('sep_conv_5x5', 0), ('sep_conv_5x5', 1),
    ('sep_conv_5x5', 0), ('sep_conv_5x5', 1)],
  reduce_concat=[2, 3, 4, 5])
"""


@pytest.mark.parametrize("name", published.GENOTYPES)
def test_number_of_live_edges(name):
    live = tuple(
        sum(
            choice.startswith(cell) and operation != "none"
            for choice, operation in published.GENOTYPES[name].items()
        )
        for cell in published.CELLS
    )
    assert live == LIVE[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", published.GENOTYPES)
def test_builds_at_the_published_size(name):
    options = {}
    if name.startswith("darts"):
        options = {"candidates": published.DARTS_OPERATIONS}
    space = SEARCH_SPACES["snas_cifar"](**RETRAINED, **options)
    child = build_child(space, published.GENOTYPES[name])
    trainable = sum(math.prod(v.shape) for v in child.trainable_variables)
    assert round(trainable / 1e6, 1) == MILLIONS[name]
    assert trainable == PARAMETERS.get(name, trainable)
    assert child.output_shape == (None, 10)


def test_reads_the_text_of_the_authors():
    """Two pairs a node; the same cell with all edges, in any order, too."""
    moderate = published.GENOTYPES["snas_moderate"]
    assert published.from_text(MODERATE) == moderate
    text = published.to_text(moderate)
    assert published.from_text(text) == moderate
    first = "('dil_conv_5x5', 0), ('skip_connect', 1)"
    turned = "('skip_connect', 1), ('dil_conv_5x5', 0)"
    assert first in text
    assert published.from_text(text.replace(first, turned)) == moderate


@pytest.mark.parametrize("name", published.GENOTYPES)
@pytest.mark.parametrize("pairs", [None, 2])
def test_text_round_trip(name, pairs):
    genotype = published.GENOTYPES[name]
    text = published.to_text(genotype, pairs)
    assert text.count("('") == (16 if pairs else 28)
    assert published.from_text(text) == genotype


def test_text_round_trip_of_random_genotypes():
    space = SEARCH_SPACES["snas_cifar"]()
    for seed in range(20):
        genotype = space.random_genotype(seed)
        assert published.from_text(published.to_text(genotype)) == genotype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Genotype(", "print("), "A genotype reads"),
        (("range(2, 6)", "open('x')"), "A genotype reads"),
        (("range(2, 6)", "(1).real"), "A genotype reads"),
        (("normal=", "cell="), "A genotype reads"),
        (("[2, 3, 4, 5]", "[4, 5]"), "must join nodes"),
        (("('skip_connect', 1),", ""), "has 14 pairs, or 8. Received: 5"),
        (("dil_conv_5x5', 0", "conv', 0"), "no such operation. Received: 'con"),
        (("('skip_connect', 1)", "('skip_connect', 2)"), "at most one edge"),
        (("('skip_connect', 1)", "('skip_connect', 0)"), "at most one edge"),
        (("('skip_connect', 1)", "('skip_connect', 'x')"), "at most one edge"),
    ],
)
def test_refuses_other_texts(change, message):
    changed = MODERATE.replace(*change)
    assert changed != MODERATE
    with pytest.raises(ValueError, match=message):
        published.from_text(changed)


@pytest.mark.parametrize("text", ["", "1", "Genotype", "Genotype(", "x = 1; y"])
def test_refuses_what_is_no_call(text):
    with pytest.raises(ValueError, match="A genotype reads"):
        published.from_text(text)


@pytest.mark.parametrize(
    "change",
    [
        ("normal_concat=range(2, 6)", "normal_concat=range(2, 1000000000000)"),
        (
            "normal_concat=range(2, 6)",
            "normal_concat=range(1" + "0" * 500 + ")",
        ),
        ("normal_concat=range(2, 6)", "normal_concat=4"),
        ("normal=[", "normal=[1, "),
        ("normal=[", "normal=[('none', 0, 1), "),
        ("normal=[", "normal=" + "[" * 100_000 + "["),
    ],
    ids=lambda change: change[1][:30],
)
def test_refuses_malformed_cells_without_unrolling_them(change):
    text = published.to_text(published.GENOTYPES["darts_v2"])
    with pytest.raises(ValueError, match="Received: "):
        published.from_text(text.replace(*change))


def test_refuses_to_write_too_many_edges():
    space = SEARCH_SPACES["snas_cifar"]()
    full = Genotype(dict.fromkeys(space.choices(), "skip_connect"))
    with pytest.raises(ValueError, match="Node 3 of the normal cell has 3"):
        published.to_text(full, 2)
    with pytest.raises(ValueError, match="must be None or 2"):
        published.to_text(full, 3)
    with pytest.raises(ValueError, match="does not fit the search space"):
        published.to_text({"block": "conv"})


def test_all_cells_of_nasbench201_round_trip():
    operations = list(search_operations())
    seen = set()
    for chosen in itertools.product(operations, repeat=6):
        text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*chosen)
        genotype = published.from_nasbench201(text)
        edges = ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")
        assert tuple(genotype[edge] for edge in edges) == chosen
        assert published.to_nasbench201(genotype) == text
        seen.add(genotype)
    assert len(seen) == 15_625


def search_operations():
    return SEARCH_SPACES["nasbench201"]().choices()["0->1"]


def test_a_cell_of_nasbench201_builds():
    op = "nor_conv_3x3"
    text = f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|"
    space = SEARCH_SPACES["nasbench201"](cells_per_stage=1)
    child = build_child(space, published.from_nasbench201(text))
    convolutions = [x for x in child.layers if "nor_conv_3x3" in x.name]
    assert len(convolutions) == 18


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|none~0|+|none~0|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~1|",
        "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\n",
    ],
)
def test_refuses_other_strings(text):
    with pytest.raises(ValueError, match="An architecture of NAS-Bench-201"):
        published.from_nasbench201(text)


def test_refuses_to_write_another_space():
    with pytest.raises(ValueError, match="does not fit the search space"):
        published.to_nasbench201({"block": "conv"})


def test_published_genotypes_are_json():
    for genotype in published.GENOTYPES.values():
        assert Genotype.from_json(genotype.to_json()) == genotype
        assert json.loads(genotype.to_json())["choices"] == dict(genotype)


def test_is_a_public_module():
    assert "published" in snas_keras.__all__
