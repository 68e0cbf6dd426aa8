"""What the oracles' base does with a stream of proposals, and what they learn.

Against enumeration and closed forms, without Keras Tuner's loop.
"""

import itertools
import json
import math
import warnings

import keras_tuner
import numpy as np
import pytest

from snas_keras import objectives, tuner

CHOICES = {"first": ("a", "b", "c"), "second": ("x", "y"), "third": ("p", "q")}
ALL = [
    dict(zip(CHOICES, values, strict=True))
    for values in itertools.product(*CHOICES.values())
]
SCORE = keras_tuner.Objective("score", "max")


class Cost:
    """Additive, with rows as `ChildCost` has them."""

    fixed = 10.0

    def __init__(self, choices, rows):
        self.choices, self.rows = choices, rows
        self.minimum = self.fixed + sum(min(r) for r in rows.values())
        self.maximum = self.fixed + sum(max(r) for r in rows.values())

    def __call__(self, values):
        return self.fixed + sum(
            self.rows[n][c.index(values[n])] for n, c in self.choices.items()
        )


COST = Cost(
    CHOICES, {"first": [0.1, 0.2, 0.4], "second": [1.0, 3.0], "third": [0.0, 7]}
)


class Silent(tuner.ChoicesOracle):
    """Proposes nothing of its own: all comes from going through the space."""

    def proposals(self):
        return iter(())

    def learn(self, values, score):
        pass


class Fixed(Silent):
    """Always proposes the same."""

    def proposals(self):
        while True:
            yield dict(ALL[5])


def proposed(oracle, count=10**6):
    """Take proposals as trials that are never scored."""
    values = []
    for index in range(count):
        answer = oracle.populate_space(str(index))
        if answer["status"] == "STOPPED":
            break
        oracle._tried_so_far.add(oracle._compute_values_hash(answer["values"]))
        values.append(answer["values"])
    return values


def within(cost, limit):
    return [v for v in ALL if cost(v) <= limit * (1.0 + 1e-9)]


@pytest.mark.parametrize("child", range(len(ALL)))
def test_where_the_stream_ends_all_within_the_budget_are_gone_through(child):
    """At each child's own cost, where a cut too much loses this child."""
    limit = COST(ALL[child])
    oracle = Silent(CHOICES, SCORE, costs={"c": COST}, max_cost={"c": limit})
    found = proposed(oracle)
    assert sorted(map(str, found)) == sorted(map(str, within(COST, limit)))


def test_two_limits_hold_together():
    other = Cost(
        CHOICES, {"first": [5.0, 1.0, 0.0], "second": [0, 0], "third": [2, 0]}
    )
    costs = {"c": COST, "other": other}
    budget = objectives.Budget({"c": "60%", "other": 13.0})
    oracle = Silent(CHOICES, SCORE, costs=costs, max_cost=budget)
    wanted = [v for v in within(COST, 0.6 * COST.maximum) if other(v) <= 13.0]
    assert 0 < len(wanted) < len(within(COST, 0.6 * COST.maximum))
    assert sorted(map(str, proposed(oracle))) == sorted(map(str, wanted))


def test_the_first_proposal_is_taken_then_its_neighbours_then_the_rest():
    oracle = Fixed(CHOICES, SCORE, seed=1)
    found = proposed(oracle)
    assert found[0] == ALL[5]
    changes = [sum(v[n] != ALL[5][n] for n in CHOICES) for v in found]
    assert changes[1] == 1
    assert sorted(map(str, found)) == sorted(map(str, ALL))


@pytest.mark.parametrize("limit", [None, 1.0])
def test_a_thousand_choices_are_gone_through_without_recursion(limit):
    choices = {f"edge_{i}": ("a", "b") for i in range(1_100)}
    rows = {name: [0.0, 1.0] for name in choices}
    oracle = Silent(
        choices,
        SCORE,
        costs={"c": Cost(choices, rows)},
        max_cost={} if limit is None else {"c": 10.0 + limit},
    )
    found = proposed(oracle, 3)
    assert len({str(v) for v in found}) == 3
    if limit is not None:
        assert all(list(v.values()).count("b") <= 1 for v in found)


def test_an_oracle_that_has_propose_still_works_and_is_told():
    class Old(Silent):
        proposals = tuner.ChoicesOracle.proposals

        def propose(self):
            return dict(ALL[7])

    with pytest.warns(DeprecationWarning, match="propose is now a stream"):
        assert proposed(Old(CHOICES, SCORE), 1) == [ALL[7]]


def test_an_oracle_without_a_stream_is_refused():
    class Empty(Silent):
        proposals = tuner.ChoicesOracle.proposals

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(NotImplementedError, match="needs `proposals`"):
            proposed(Empty(CHOICES, SCORE), 1)


@pytest.mark.parametrize("name", sorted(tuner.ORACLES))
def test_every_oracle_proposes_all_children_and_has_a_state_of_json(name):
    oracle = tuner.ORACLES[name](CHOICES, SCORE, seed=1)
    assert sorted(map(str, proposed(oracle))) == sorted(map(str, ALL))
    oracle.learn(ALL[3], 1.0)
    oracle.learn(ALL[4], 2.0)
    again = tuner.ORACLES[name](CHOICES, SCORE, seed=2)
    again.set_state(json.loads(json.dumps(oracle.get_state())))
    for one in (oracle, again):
        one._tried_so_far = set()
    assert proposed(oracle) == proposed(again)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_the_advantage_is_the_formula(decay):
    """The error is taken before the mean moves, and its square counts at once.

    error = score - mean; variance <- decay variance + (1 - decay) error^2
    """
    oracle = tuner.ArchitectureOracle(CHOICES, SCORE, baseline_decay=decay)
    mean, variance, first = 0.3, 0.0, True
    for score in (0.3, 1.0, 5.0, -3.0, 0.5):
        error = score - mean
        variance = decay * variance + (1 - decay) * error**2
        mean = mean + (1 - decay) * error
        wanted = 0.0 if first else error / math.sqrt(variance)
        first = False
        assert oracle.advantage(ALL[0], score) == pytest.approx(wanted)


def test_without_memory_the_advantage_is_the_sign_of_the_difference():
    oracle = tuner.ArchitectureOracle(CHOICES, SCORE, baseline_decay=0.0)
    found = [oracle.advantage(ALL[0], s) for s in (0.0, 1.0, 5.0, -3.0, -3.0)]
    assert found[:4] == [0.0, 1.0, 1.0, -1.0]
    oracle.learn(ALL[0], 4.0)
    assert oracle.policy.logits["first"][0] > 0.0


def test_the_parent_is_the_best_of_a_sample_not_of_all():
    """Of one sampled member each is as likely a parent: 200 mutants of four
    members, of which one is far the best."""
    choices = {f"edge_{i}": tuple("abcd") for i in range(6)}
    oracle = tuner.RegularizedEvolutionOracle(
        choices, SCORE, population_size=4, sample_size=1, seed=0
    )
    members = [dict.fromkeys(choices, c) for c in "abcd"]
    for score, member in enumerate(members):
        oracle.learn(member, 100.0 * (score == 2))
    mutants = list(itertools.islice(oracle.proposals(), 200))
    parents = [max("abcd", key=list(m.values()).count) for m in mutants]
    assert all(
        list(m.values()).count(p) == 5
        for m, p in zip(mutants, parents, strict=True)
    )
    assert min(parents.count(c) for c in "abcd") > 20
    oracle.sample_size = 4
    mutants = list(itertools.islice(oracle.proposals(), 20))
    assert {max("abcd", key=list(m.values()).count) for m in mutants} == {"c"}


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val_accuracy", "max"),
        ("val_auc", "max"),
        ("val_acc", "max"),
        ("val_f1_score", "max"),
        ("r2_score", "max"),
        ("val_mean_io_u", "max"),
        ("val_loss", "min"),
        ("val_decoder_loss", "min"),
        ("val_mean_absolute_error", "min"),
        ("val_mse", "min"),
        ("val_sparse_categorical_crossentropy", "min"),
    ],
)
def test_the_direction_of_an_objective_is_known_by_its_name(name, direction):
    assert tuner.ArchitectureOracle(CHOICES, name).objective == (
        keras_tuner.Objective(name, direction)
    )


@pytest.mark.parametrize(
    "name", ["score", "val_cosine_similarity", "val_gain", "val_lossless"]
)
def test_a_direction_that_is_not_known_is_asked_for(name):
    with pytest.raises(ValueError, match="give its direction"):
        tuner.ArchitectureOracle(CHOICES, name)
    own = keras_tuner.Objective(name, "min")
    assert tuner.ArchitectureOracle(CHOICES, own).objective is own


def test_percentages_are_a_budget_of_an_oracle():
    oracle = Silent(CHOICES, SCORE, costs={"c": COST}, max_cost={"c": "60%"})
    assert oracle.max_cost["c"] == 0.6 * COST.maximum
    assert np.all([COST(v) <= 0.6 * COST.maximum for v in proposed(oracle)])
