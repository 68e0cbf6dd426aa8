"""The distribution as an object, against enumeration of all children."""

import itertools

import numpy as np
import pytest

import snas_keras
from snas_keras import costs as costs_lib
from snas_keras import supernet as supernet_lib

CHOICES = {"a": ("p", "q", "r"), "b": ("p", "q"), "c": ("p", "q", "r", "s")}
GENERATOR = np.random.default_rng(0)
LOGITS = {n: GENERATOR.normal(size=len(c)) for n, c in CHOICES.items()}
ALL = [
    dict(zip(CHOICES, values, strict=True))
    for values in itertools.product(*CHOICES.values())
]


@pytest.fixture
def given():
    return supernet_lib.Distribution(CHOICES, LOGITS)


def test_probabilities_sum_to_one(given):
    total = sum(np.exp(given.log_prob(child)) for child in ALL)
    assert total == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("k", [1, 5, 24, 100])
def test_top_k_is_that_of_brute_force(given, k):
    ordered = sorted(ALL, key=given.log_prob, reverse=True)[:k]
    found = given.top_k(k)
    assert [dict(genotype) for genotype, _ in found] == ordered
    for genotype, log_prob in found:
        assert log_prob == pytest.approx(given.log_prob(genotype), abs=1e-12)


def test_top_k_of_ties_takes_earlier_candidates_first():
    flat = supernet_lib.Distribution(CHOICES)
    found = [tuple(genotype.values()) for genotype, _ in flat.top_k(24)]
    assert found[0] == ("p", "p", "p")
    assert len(set(found)) == 24


def test_top_k_of_a_large_space_is_quick_and_ordered():
    """8^28 children."""
    generator = np.random.default_rng(1)
    choices = {f"edge_{i}": tuple("abcdefgh") for i in range(28)}
    logits = {name: generator.normal(size=8) for name in choices}
    large = supernet_lib.Distribution(choices, logits)
    found = large.top_k(200)
    log_probs = [log_prob for _, log_prob in found]
    assert log_probs == sorted(log_probs, reverse=True)
    assert len({genotype for genotype, _ in found}) == 200
    # No neighbour of the first is likelier than what stands behind it.
    first = dict(found[0][0])
    changed = [
        large.log_prob({**first, name: candidate})
        for name in choices
        for candidate in choices[name]
        if candidate != first[name]
    ]
    assert log_probs[1] == pytest.approx(max(changed), abs=1e-9)


def test_draws_follow_the_probabilities_and_repeat(given):
    """Six deviations of each of 24 frequencies."""
    drawn = [dict(genotype) for genotype in given.sample(4000, seed=1)]
    assert drawn == [dict(genotype) for genotype in given.sample(4000, seed=1)]
    for child in ALL:
        p = np.exp(given.log_prob(child))
        deviation = np.sqrt(4000 * p * (1 - p))
        assert abs(drawn.count(child) - 4000 * p) < 6 * deviation


def test_entropy_margin_and_divergence_by_hand(given):
    p = given.probabilities()["a"]
    assert given.entropy()["a"] == pytest.approx(-np.sum(p * np.log(p)))
    first, second, _ = sorted(p, reverse=True)
    assert given.margin()["a"] == pytest.approx(first - second)
    flat = supernet_lib.Distribution(CHOICES)
    assert flat.entropy()["c"] == pytest.approx(np.log(4))
    assert flat.margin()["c"] == 0.0
    by_enumeration = sum(
        np.exp(given.log_prob(child))
        * (given.log_prob(child) - flat.log_prob(child))
        for child in ALL
    )
    assert given.kl_divergence(flat) == pytest.approx(by_enumeration)
    assert given.kl_divergence(given) == 0.0


def test_a_single_candidate_has_margin_one():
    only = supernet_lib.Distribution({"a": ("p",)})
    assert only.margin() == {"a": 1.0}
    assert [dict(g) for g, _ in only.top_k(3)] == [{"a": "p"}]


def test_bad_settings_are_refused(given):
    with pytest.raises(ValueError, match="must be 3 finite numbers"):
        supernet_lib.Distribution(CHOICES, {"a": [1.0]})
    with pytest.raises(ValueError, match="must be 3 finite numbers"):
        supernet_lib.Distribution(CHOICES, {"a": [1.0, 2.0, float("nan")]})
    with pytest.raises(ValueError, match=r"unknown choices \['d'\]"):
        supernet_lib.Distribution(CHOICES, {"d": [1.0]})
    with pytest.raises(ValueError, match="must have the same choices"):
        given.kl_divergence(supernet_lib.Distribution({"a": ("p",)}))
    with pytest.raises(ValueError, match="does not fit the search space"):
        given.log_prob({"a": "p"})


def test_an_architecture_gives_its_own(tiny_space):
    supernet = snas_keras.build_supernet(tiny_space)
    architecture = supernet.architecture
    for index, logits in enumerate(architecture.logits.values()):
        logits.assign([0.1 * index, 1.0, -0.5])
    found = architecture.distribution()
    genotype, log_prob = found.top_k(1)[0]
    assert genotype == supernet.derive()
    assert log_prob == pytest.approx(
        float(architecture.log_prob(genotype)), abs=1e-6
    )


@pytest.mark.parametrize("unit", ["whole", "real"])
@pytest.mark.parametrize("is_uniform", [True, False])
def test_the_share_within_a_limit_is_that_of_enumeration(
    tiny_space, unit, is_uniform
):
    """In whole units exactly, at, below and above every child's cost; in real
    ones up to the stated grid."""
    supernet = snas_keras.build_supernet(tiny_space)
    cost = costs_lib.ChildCost(supernet, "flops")
    if unit == "real":
        generator = np.random.default_rng(2)
        cost.rows = {
            name: row + generator.uniform(0.1, 50.0, row.shape)
            for name, row in cost.rows.items()
        }
    choices = tiny_space.choices()
    logits = {name: [0.5, -0.3, 0.1] for name in choices}
    given = supernet_lib.Distribution(choices, None if is_uniform else logits)
    children = [
        dict(zip(choices, values, strict=True))
        for values in itertools.product(*choices.values())
    ]
    costs = np.array([cost(child) for child in children])
    p = np.exp([given.log_prob(child) for child in children])
    middles = (np.unique(costs)[1:] + np.unique(costs)[:-1]) / 2
    limits = [*middles, costs.min() - 1, costs.max()]
    if unit == "whole":
        limits += [*np.unique(costs), *(np.unique(costs) - 0.5)]
    else:
        grid = len(choices) * (costs.max() - costs.min()) / 10_000
        limits = [v for v in limits if np.abs(costs - v).min() > grid]
    for limit in limits:
        wanted = p[costs <= limit].sum()
        found = given.probability_within(cost, limit)
        assert found == pytest.approx(wanted, abs=1e-9)
        if is_uniform:
            assert cost.probability_within(limit) == found
