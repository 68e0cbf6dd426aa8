"""The estimators against closed forms.

Statistical tests have a fixed seed and a false-failure rate of at most 1e-6.
"""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, stats

from snas_keras import estimators

SEED = tf.constant([17, 3])
LOGITS = [0.5, -1.0, 2.0]
DRAWS = 20_000


def draw(function, logits, temperature, draws, dtype="float32"):
    rows = tf.tile(tf.constant([logits], dtype), [draws, 1])
    return function(rows, tf.constant(temperature, dtype), SEED).numpy()


def softmax(logits):
    powers = np.exp(np.asarray(logits) - np.max(logits))
    return powers / powers.sum()


@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)]
)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_jacobian_of_relaxed_is_the_formula(dtype, rtol, temperature):
    """d z_i / d logits_j = z_i (delta_ij - z_j) / temperature."""
    logits = tf.Variable(LOGITS, dtype=dtype)
    with tf.GradientTape() as tape:
        z = estimators.relaxed(logits, tf.constant(temperature, dtype), SEED)
    jacobian = tape.jacobian(z, logits).numpy()
    z = z.numpy()
    wanted = (np.diag(z) - np.outer(z, z)) / temperature
    np.testing.assert_allclose(jacobian, wanted, rtol=rtol, atol=1e-7)


def test_jacobian_of_relaxed_agrees_with_central_differences():
    """Step 1e-6 in float64: truncation and rounding stay below 1e-8."""
    step, temperature = 1e-6, tf.constant(0.7, "float64")
    base = np.array(LOGITS)
    numeric = np.zeros((3, 3))
    for j, direction in enumerate(np.eye(3)):
        ends = [
            estimators.relaxed(
                tf.constant(base + s * step * direction), temperature, SEED
            ).numpy()
            for s in (1, -1)
        ]
        numeric[:, j] = (ends[0] - ends[1]) / (2 * step)
    logits = tf.Variable(base)
    with tf.GradientTape() as tape:
        z = estimators.relaxed(logits, temperature, SEED)
    jacobian = tape.jacobian(z, logits).numpy()
    np.testing.assert_allclose(jacobian, numeric, atol=1e-8)


@pytest.mark.parametrize("temperature", [0.03, 0.3, 1.0, 10.0])
def test_largest_weight_is_categorical_at_every_temperature(temperature):
    """argmax z ~ Categorical(softmax(logits)).

    Chi-squared at p = 1e-6; with 20,000 draws it sees a probability that is
    wrong by 0.018.
    """
    z = draw(estimators.relaxed, LOGITS, temperature, DRAWS)
    counts = np.bincount(z.argmax(1), minlength=3)
    result = stats.chisquare(counts, DRAWS * softmax(LOGITS))
    assert result.pvalue > 1e-6


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_law_of_two_candidates_is_the_closed_form(temperature):
    """P(z_1 <= t) = sigmoid(temperature logit(t) - (a_1 - a_2)).

    The sup distance is below sqrt(ln(2 / 1e-6) / (2 N)) = 0.019 but for one
    seed in a million (Dvoretzky, Kiefer, Wolfowitz).
    """
    a = [0.8, -0.3]
    z = np.sort(
        draw(estimators.relaxed, a, temperature, DRAWS, "float64")[:, 0]
    )
    with np.errstate(divide="ignore"):
        argument = temperature * np.log(z / (1 - z)) - (a[0] - a[1])
    law = 1 / (1 + np.exp(-argument))
    empirical = np.arange(DRAWS) / DRAWS
    bound = math.sqrt(math.log(2 / 1e-6) / (2 * DRAWS))
    assert np.abs(law - empirical).max() < bound + 1 / DRAWS


def test_mean_relaxed_gradient_is_the_gradient_of_the_mean():
    """d/da E[z_1] for two candidates, against quadrature of
    z_1 (1 - z_1) / temperature over the logistic noise; 5 standard errors."""
    temperature, difference = 0.5, 0.7
    logits = tf.Variable(
        tf.tile([[difference, 0.0]], [DRAWS, 1]), dtype="float32"
    )
    with tf.GradientTape() as tape:
        z = estimators.relaxed(logits, tf.constant(temperature), SEED)
        first = tf.reduce_sum(z[:, 0])
    samples = tape.gradient(first, logits).numpy()[:, 0]

    def integrand(noise):
        z = 1 / (1 + math.exp(-(difference + noise) / temperature))
        density = math.exp(-noise) / (1 + math.exp(-noise)) ** 2
        return z * (1 - z) / temperature * density

    wanted, _ = integrate.quad(integrand, -40, 40, points=[-difference])
    error = samples.std() / math.sqrt(DRAWS)
    assert abs(samples.mean() - wanted) < 5 * error


def test_mean_relaxed_gradient_of_five_candidates_is_a_difference():
    """For a linear f of five candidates: mean gradient against the central
    difference of the mean with the same noise; both on the same draws, so only
    the step's truncation (1e-6) remains."""
    costs = tf.constant([1.0, -2.0, 0.5, 3.0, 0.0], "float64")
    base = np.array([0.1, 0.4, -0.3, 0.0, 0.2])

    def mean(shift):
        rows = tf.tile([base + shift], [2000, 1])
        z = estimators.relaxed(rows, tf.constant(0.8, "float64"), SEED)
        return float(tf.reduce_mean(tf.linalg.matvec(z, costs)))

    logits = tf.Variable(base)
    with tf.GradientTape() as tape:
        rows = tf.tile(logits[None], [2000, 1])
        z = estimators.relaxed(rows, tf.constant(0.8, "float64"), SEED)
        value = tf.reduce_mean(tf.linalg.matvec(z, costs))
    gradient = tape.gradient(value, logits).numpy()
    step = 1e-4
    numeric = [
        (mean(step * e) - mean(-step * e)) / (2 * step) for e in np.eye(5)
    ]
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)


def test_straight_through_is_one_hot_to_the_bit():
    z = draw(estimators.straight_through, LOGITS, 1.0, 1000)
    assert set(np.unique(z)) == {0.0, 1.0}
    np.testing.assert_array_equal(z.sum(1), 1.0)


def test_straight_through_has_the_gradient_of_relaxed():
    costs = tf.constant([1.0, 2.0, 5.0])
    gradients = []
    for function in (estimators.straight_through, estimators.relaxed):
        logits = tf.Variable(LOGITS)
        with tf.GradientTape() as tape:
            z = function(logits, tf.constant(0.5), SEED)
            value = tf.reduce_sum(z * costs)
        gradients.append(tape.gradient(value, logits).numpy())
    np.testing.assert_array_equal(*gradients)


def test_softmax_does_not_depend_on_the_seed():
    logits, temperature = tf.constant(LOGITS), tf.constant(1.0)
    weights = [
        estimators.softmax(logits, temperature, tf.constant([seed, 0])).numpy()
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*weights)
    np.testing.assert_allclose(weights[0], softmax(LOGITS), rtol=1e-6)


def test_relaxed_becomes_one_hot_at_low_temperature():
    """At 0.01 all but near-ties are one-hot within 1e-6; the share of draws
    whose two largest logits differ by less than 0.14 is below 0.1."""
    z = draw(estimators.relaxed, LOGITS, 0.01, 2000)
    assert (z.max(1) > 1 - 1e-6).mean() > 0.9


def test_relaxed_becomes_uniform_at_high_temperature():
    z = draw(estimators.relaxed, LOGITS, 1e4, 200)
    np.testing.assert_allclose(z, 1 / 3, atol=1e-3)


@pytest.mark.parametrize("name", sorted(estimators.ESTIMATORS))
@pytest.mark.parametrize(
    "logits", [[0.0], [50.0, -50.0], list(np.linspace(-50, 50, 64))]
)
def test_extreme_logits_give_finite_weights_and_gradients(name, logits):
    logits = tf.Variable(logits, dtype="float32")
    with tf.GradientTape() as tape:
        z = estimators.get(name)(logits, tf.constant(0.03), SEED)
        value = tf.reduce_sum(z**2)
    gradient = tape.gradient(value, logits).numpy()
    assert np.isfinite(z.numpy()).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(z.numpy().sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("size", [2, 3, 8, 11])
def test_relaxed_log_density_is_the_formula(size):
    """log p(z) = log Gamma(K) + (K-1) log t - K log sum_i p_i z_i^-t
    + sum_i (log p_i - (t+1) log z_i), and p(log z) = p(z) prod z."""
    temperature = 0.8
    logits = tf.constant(np.linspace(-1, 1, size))
    t = tf.constant(temperature, "float64")
    z = estimators.relaxed(logits, t, SEED).numpy()
    p = softmax(logits.numpy())
    wanted = (
        math.lgamma(size)
        + (size - 1) * math.log(temperature)
        - size * math.log((p * z**-temperature).sum())
        + (np.log(p) - (temperature + 1) * np.log(z)).sum()
    )
    found = estimators.relaxed.log_density(logits, t, SEED).numpy()
    np.testing.assert_allclose(found - np.log(z).sum(), wanted, rtol=1e-8)


def test_mean_score_of_relaxed_is_zero():
    """E[d log p / d logits] = 0, within 5 standard errors, also at 0.03,
    where the density of z itself would be infinite."""
    for temperature in (1.0, 0.03):
        logits = tf.Variable(tf.tile([LOGITS], [DRAWS, 1]))
        with tf.GradientTape() as tape:
            density = estimators.relaxed.log_density(
                logits, tf.constant(temperature), SEED
            )
            total = tf.reduce_sum(density)
        scores = tape.gradient(total, logits).numpy()
        error = scores.std(0) / math.sqrt(DRAWS)
        assert np.isfinite(scores).all()
        assert (np.abs(scores.mean(0)) < 5 * error).all()
        assert scores.std() > 0.1


def test_one_hot_log_density_is_that_of_the_drawn_candidate():
    logits, temperature = tf.constant(LOGITS), tf.constant(1.0)
    z = estimators.straight_through(logits, temperature, SEED).numpy()
    found = estimators.straight_through.log_density(
        logits, temperature, SEED
    ).numpy()
    wanted = np.log(softmax(LOGITS))[z.argmax()]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_seeds_differ_by_seed_step_and_salt():
    seeds = {
        tuple(estimators.fold_seed(seed, step, salt).numpy())
        for seed in (0, 1)
        for step in (0, 1)
        for salt in (2, 3)
    }
    assert len(seeds) == 8


def test_unknown_estimator_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="estimator='gumbel'.*relaxed"):
        estimators.get("gumbel")


def test_relaxed_draws_are_those_of_tensorflow_probability():
    """The formula is written out for the sake of the bits alone; the order of
    its operations is another, hence the last digits."""
    logits = tf.random.stateless_normal((100, 5), (1, 2))
    tfp_draw = tfp.distributions.RelaxedOneHotCategorical(0.7, logits=logits)
    np.testing.assert_allclose(
        estimators.relaxed(logits, 0.7, SEED),
        tfp_draw.sample(seed=SEED),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", sorted(estimators.ESTIMATORS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_xla_draws_what_the_kernels_draw(name, dtype):
    """Equal bits of noise; XLA's logarithms differ in the last digits."""
    logits = tf.cast(tf.random.stateless_normal((50, 5), (1, 2)), dtype)

    def draw(step):
        seed = estimators.fold_seed(3, step, 4)
        return estimators.get(name)(logits, tf.constant(0.7, dtype), seed)

    compiled = tf.function(draw, jit_compile=True, autograph=False)
    for step in range(3):
        np.testing.assert_allclose(
            compiled(tf.constant(step)), draw(tf.constant(step)), atol=1e-5
        )


def test_temperature_makes_draws_sharper_as_the_formula_says():
    """With the same noise, log odds are divided by the temperature."""
    logits = tf.constant([[0.3, -0.2, 0.9]])

    def log_odds(temperature):
        z = estimators.relaxed(logits, temperature, SEED).numpy()[0]
        return np.log(z[1:] / z[0])

    np.testing.assert_allclose(log_odds(0.5), 2.0 * log_odds(1.0), rtol=1e-4)
    np.testing.assert_allclose(log_odds(4.0), log_odds(1.0) / 4.0, rtol=1e-4)


def test_straight_through_draws_and_does_not_pick_the_mode():
    """P(mode in 2,000 draws) is about 0.4 ** 2000 if draws are draws."""
    z = draw(estimators.straight_through, [0.4, 0.0, 0.0], 1.0, 2000)
    assert (z.mean(0) > 0.2).all()


def test_an_estimator_survives_its_config_with_its_density():
    own = estimators.Estimator(
        registered_sample, registered_density, runs_one_path=True
    )
    again = estimators.deserialize(estimators.serialize(own))
    assert again.log_density is registered_density
    assert again.sample is registered_sample
    assert again.runs_one_path


@keras.saving.register_keras_serializable("tests")
def registered_sample(logits, temperature, seed):
    return estimators.single_path(logits, temperature, seed)


@keras.saving.register_keras_serializable("tests")
def registered_density(logits, temperature, seed):
    return estimators.single_path.log_density(logits, temperature, seed)
