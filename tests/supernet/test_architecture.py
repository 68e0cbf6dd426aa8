"""The distribution over children as a layer."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras._utils import names as names_lib

CHOICES = {"a": ["x", "y", "z"], "b": ["x", "y"], "c": ["u", "v", "w"]}


def make(choices=None, **options):
    return snas_keras.Architecture(choices or CHOICES, **options)


def with_logits(**logits):
    architecture = make({k: "xyz"[: len(v)] for k, v in logits.items()})
    for name, values in logits.items():
        architecture.logits[name].assign(values)
    return architecture


def test_entropy_of_uniform_logits_is_log_k():
    entropy = make().entropy()
    np.testing.assert_allclose(entropy["a"], math.log(3), rtol=1e-6)
    np.testing.assert_allclose(entropy["b"], math.log(2), rtol=1e-6)


def test_gradient_of_entropy_is_the_formula():
    """dH / d logits_j = -p_j (log p_j + H)."""
    architecture = with_logits(a=[0.3, -1.2, 0.8])
    with tf.GradientTape() as tape:
        entropy = architecture.entropy()["a"]
    gradient = tape.gradient(entropy, architecture.trainable_variables)[0]
    p = architecture.probabilities()["a"].numpy()
    wanted = -p * (np.log(p) + float(entropy))
    np.testing.assert_allclose(gradient.numpy(), wanted, atol=1e-6)


def test_probabilities_are_the_softmax_not_a_sample():
    architecture = with_logits(a=[0.0, math.log(3.0)])
    np.testing.assert_allclose(
        architecture.probabilities()["a"], [0.25, 0.75], rtol=1e-6
    )


def test_same_step_gives_the_same_draw_in_eager_and_graph():
    architecture = make()
    graph = tf.function(architecture.sample)
    for step in (0, 5):
        eager = architecture.sample(step)
        traced = graph(tf.constant(step))
        for name in CHOICES:
            np.testing.assert_array_equal(eager[name], traced[name])


def test_same_step_gives_the_same_draw_whenever_xla_draws_it():
    """XLA has other random numbers than TensorFlow's kernels for the same
    seed; what holds is that it repeats itself, and draws from the same law."""
    architecture = with_logits(a=[1.0, 0.0])
    compiled = tf.function(architecture.sample, jit_compile=True)
    first, again = (compiled(tf.constant(3))["a"].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    rest = tf.function(
        lambda: tf.map_fn(
            lambda step: architecture.sample(step)["a"][0],
            tf.range(4000),
            fn_output_signature="float32",
        ),
        jit_compile=True,
    )()
    share = float(tf.reduce_mean(tf.cast(rest > 0.5, "float32")))
    # 5 standard errors of 4000 draws: 0.035.
    assert abs(share - 1 / (1 + math.exp(-1))) < 0.035


@pytest.mark.parametrize("change", ["step", "choice", "seed"])
def test_draws_of_other_steps_choices_and_seeds_are_uncorrelated(change):
    """|rho| < 5 / sqrt(N) for N = 2000 steps, false failure below 1e-6."""
    architecture, other = make(seed=0), make(seed=1)

    def series(layer, name, shift=0):
        draws = tf.function(
            lambda: tf.map_fn(
                lambda step: layer.sample(step + shift)[name][0],
                tf.range(2000),
                fn_output_signature="float32",
            )
        )
        return draws().numpy()

    base = series(architecture, "a")
    second = {
        "step": lambda: series(architecture, "a", shift=1),
        "choice": lambda: series(architecture, "c"),
        "seed": lambda: series(other, "a"),
    }[change]()
    assert abs(np.corrcoef(base, second)[0, 1]) < 5 / math.sqrt(2000)


def test_logits_temperature_and_draws_stay_float32_under_any_policy():
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        architecture = make()
        assert {v.dtype for v in architecture.weights} == {"float32"}
        assert architecture.sample(0)["a"].dtype == tf.float32
        assert (
            architecture(tf.constant(0), training=True)["a"].dtype == tf.float32
        )


def test_mode_is_one_hot_and_the_first_wins_ties():
    architecture = with_logits(a=[0.0, 1.0, 1.0], b=[0.0, 0.0])
    np.testing.assert_array_equal(architecture.mode()["a"], [0, 1, 0])
    mode = {n: int(np.argmax(w)) for n, w in architecture.mode().items()}
    assert mode == {"a": 1, "b": 0}


def test_log_prob_sums_the_choices():
    architecture = with_logits(a=[0.5, -0.5, 0.0], b=[1.0, 2.0])
    p = {k: v.numpy() for k, v in architecture.probabilities().items()}
    found = architecture.log_prob({"a": "z", "b": "x"})
    np.testing.assert_allclose(
        found, math.log(p["a"][2] * p["b"][0]), rtol=1e-6
    )


def test_probabilities_of_all_children_sum_to_one():
    architecture = with_logits(a=[0.5, -0.5, 0.0], b=[1.0, 2.0])
    total = sum(
        math.exp(architecture.log_prob({"a": a, "b": b}))
        for a in "xyz"
        for b in "xy"
    )
    assert total == pytest.approx(1.0, abs=1e-6)


def test_call_draws_in_training_and_answers_the_mode_otherwise():
    architecture = make()
    drawn = architecture(tf.constant(7), training=True)
    for name in CHOICES:
        np.testing.assert_array_equal(drawn[name], architecture.sample(7)[name])
        np.testing.assert_array_equal(
            architecture(tf.constant(7))[name], architecture.mode()[name]
        )


def test_config_holds_the_constructor_arguments():
    options = {
        "choices": CHOICES,
        "estimator": "straight_through",
        "temperature": 0.5,
        "seed": 3,
    }
    config = snas_keras.Architecture(**options).get_config()
    assert {k: config[k] for k in options} == options
    again = snas_keras.Architecture.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    np.testing.assert_array_equal(
        again.sample(1)["a"], snas_keras.Architecture(**options).sample(1)["a"]
    )


def test_it_works_on_its_own_in_a_model_of_the_user():
    """A hand-made model: an Architecture, two MixedEdges, a custom loop."""
    architecture = make({"only": ["double", "skip"]})
    edge = snas_keras.MixedEdge(
        {"double": keras.layers.Rescaling(2.0), "skip": keras.layers.Identity()}
    )
    x = tf.ones((1, 1))
    optimizer = keras.optimizers.SGD(0.5)
    for step in range(60):
        with tf.GradientTape() as tape:
            weights = architecture.sample(step)["only"]
            loss = tf.reduce_sum((edge(x, weights) - 2.0) ** 2)
        logits = architecture.trainable_variables
        optimizer.apply(tape.gradient(loss, logits), logits)
    assert architecture.mode()["only"].numpy().tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choices": {}}, "at least one choice"),
        ({"choices": {"a": []}}, "at least one candidate"),
        ({"choices": {"a": ["x", "x"]}}, "must have different names"),
        ({"choices": {"a/b": ["x"]}}, "'/'"),
        ({"choices": {"": ["x"]}}, "empty"),
        ({"choices": CHOICES, "temperature": 0.0}, "temperature=0.0"),
        ({"choices": CHOICES, "temperature": -1.0}, "temperature=-1.0"),
        ({"choices": CHOICES, "temperature": math.nan}, "temperature=nan"),
        ({"choices": CHOICES, "estimator": "x"}, "Allowed: "),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        snas_keras.Architecture(**options)


@pytest.mark.parametrize(
    "options",
    [{"choices": {1: ["x"]}}, {"choices": {"a": [1]}}, {"seed": 1.5}],
)
def test_bad_kinds_are_refused(options):
    with pytest.raises(TypeError, match="Received"):
        snas_keras.Architecture(**{"choices": CHOICES, **options})


def test_score_function_is_refused_without_a_density():
    with pytest.raises(ValueError, match="known density"):
        make(estimator="softmax").log_density(0)


def test_weights_that_do_not_fit_are_refused():
    choices = {"a": ("x", "y")}
    for weights, message in [
        ({"b": [1, 0]}, "choices are: .'a'."),
        ({"a": [1, 0, 0]}, "must be 2 numbers"),
        ({"a": [1.5, -0.5]}, "none negative"),
        (3, "one entry for each choice"),
    ]:
        with pytest.raises(ValueError, match=message):
            names_lib.check_weights(weights, choices)


def test_every_choice_gets_its_own_draw():
    """Of choices of equal size too: logits of 50 leave no doubt."""
    choices = {name: ("x", "y", "z") for name in ("a", "b", "c")}
    architecture = snas_keras.Architecture(choices, temperature=0.1)
    for index, name in enumerate(choices):
        architecture.logits[name].assign(50.0 * np.eye(3)[index])
    for step in range(3):
        drawn = architecture.sample(step)
        found = [int(np.argmax(drawn[name])) for name in choices]
        assert found == [0, 1, 2]
