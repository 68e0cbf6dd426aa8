"""Distributions over children, against enumeration and closed forms."""

import itertools
import json

import numpy as np
import pytest

from snas_keras.tuner import _policies

CHOICES = {"first": ("a", "b", "c"), "second": ("x", "y")}
LOGITS = {"first": [0.5, -1.0, 0.2], "second": [0.3, 1.1]}
ALL = [
    dict(zip(CHOICES, values, strict=True))
    for values in itertools.product(*CHOICES.values())
]


@pytest.fixture(params=sorted(_policies.POLICIES))
def policy(request):
    return _policies.POLICIES[request.param](CHOICES, LOGITS)


def probabilities(policy):
    return np.exp([policy.log_prob(values) for values in ALL])


def test_probabilities_sum_to_one_and_start_at_the_logits(policy):
    p = [np.exp(v) / np.exp(v).sum() for v in map(np.array, LOGITS.values())]
    np.testing.assert_allclose(
        probabilities(policy), np.outer(*p).ravel(), rtol=1e-5
    )


def test_probabilities_sum_to_one_after_learning(policy):
    generator = np.random.default_rng(0)
    for _ in range(20):
        policy.learn(policy.draw(generator), generator.normal())
    assert probabilities(policy).sum() == pytest.approx(1.0, abs=1e-5)


def test_draws_follow_the_probabilities(policy):
    """Six deviations of each of six frequencies."""
    policy.learn(ALL[3], 1.0)
    generator = np.random.default_rng(0)
    draws = [policy.draw(generator) for _ in range(2000)]
    counts = np.array([draws.count(values) for values in ALL])
    p = probabilities(policy)
    deviations = np.sqrt(2000 * p * (1 - p))
    assert (np.abs(counts - 2000 * p) < 6 * deviations).all()


def test_a_good_score_makes_a_child_likelier_a_bad_one_less_likely(policy):
    before = policy.log_prob(ALL[2])
    policy.learn(ALL[2], 1.0)
    between = policy.log_prob(ALL[2])
    policy.learn(ALL[2], -1.0)
    policy.learn(ALL[2], -1.0)
    assert between > before
    assert policy.log_prob(ALL[2]) < between


def test_the_mean_update_is_the_gradient_of_the_expected_score():
    """Over all children, weighted by their probability, with a baseline:

    dE/dlogit_k = p_k (E[score | k] - E[score])
    """
    scores = np.random.default_rng(1).normal(size=len(ALL))
    policy = _policies.IndependentPolicy(CHOICES, LOGITS, learning_rate=1.0)
    p = probabilities(policy)
    mean = {name: np.zeros(len(c)) for name, c in CHOICES.items()}
    for weight, score, values in zip(p, scores, ALL, strict=True):
        one = _policies.IndependentPolicy(CHOICES, LOGITS, learning_rate=1.0)
        one.learn(values, score - 7.0)
        for name in CHOICES:
            mean[name] += weight * (one.logits[name] - LOGITS[name])
    expected = p @ scores
    for name, candidates in CHOICES.items():
        for k, candidate in enumerate(candidates):
            has = np.array([values[name] == candidate for values in ALL])
            exact = p @ (has * (scores - expected))
            assert mean[name][k] == pytest.approx(exact, abs=1e-12)


def test_the_recurrent_gradient_is_that_of_the_expected_score():
    """By enumeration against finite differences of one head's biases."""
    policy = _policies.RecurrentPolicy(CHOICES, LOGITS)
    scores = np.random.default_rng(1).normal(size=len(ALL))
    bias = policy.heads["second"].bias
    exact = []
    for k in range(2):
        values = []
        for sign in (1.0, -1.0):
            moved = np.array(LOGITS["second"], "float32")
            moved[k] += sign * 1e-2
            bias.assign(moved)
            values.append(probabilities(policy) @ scores)
        exact.append((values[0] - values[1]) / 2e-2)
    bias.assign(LOGITS["second"])
    p = probabilities(policy)
    # The head's logits are its biases at the start: its kernel is zero.
    q = np.exp(bias.numpy()) / np.exp(bias.numpy()).sum()
    mean = np.zeros(2)
    for weight, score, values in zip(p, scores, ALL, strict=True):
        one_hot = np.float32([values["second"] == c for c in "xy"])
        mean += weight * score * (one_hot - q)
    np.testing.assert_allclose(exact, mean, atol=1e-3)


def test_only_the_recurrent_policy_learns_that_choices_depend():
    """Scored is whether both choices agree; by halves no choice is better."""
    choices = {"first": ("a", "b"), "second": ("a", "b")}
    agreement = {}
    for name in _policies.POLICIES:
        policy = _policies.POLICIES[name](choices, learning_rate=0.05)
        for _ in range(60):
            for values in itertools.product("ab", repeat=2):
                agrees = 1.0 if values[0] == values[1] else -1.0
                values = dict(zip(choices, values, strict=True))
                weight = np.exp(policy.log_prob(values))
                policy.learn(values, agrees * weight)
        agreement[name] = sum(
            np.exp(policy.log_prob({"first": c, "second": c})) for c in "ab"
        )
    assert agreement["recurrent"] > 0.9
    assert agreement["independent"] == pytest.approx(0.5, abs=0.05)


def test_the_state_is_json_and_comes_back(policy):
    generator = np.random.default_rng(0)
    for _ in range(3):
        policy.learn(policy.draw(generator), 1.0)
    state = json.loads(json.dumps(policy.get_state()))
    again = type(policy)(CHOICES)
    again.set_state(state)
    for one in (policy, again):
        one.learn(ALL[1], 0.5)
    np.testing.assert_array_equal(probabilities(policy), probabilities(again))
    draws = [
        [one.draw(generator) for _ in range(5)]
        for one, generator in (
            (policy, np.random.default_rng(3)),
            (again, np.random.default_rng(3)),
        )
    ]
    assert draws[0] == draws[1]
