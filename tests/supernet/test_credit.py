"""Credit: the gradients of a step, per choice and candidate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import layers
from snas_keras.supernet import _credit

FORMS = [
    ("relaxed", "expected"),
    ("relaxed", "pathwise"),
    ("relaxed", "score_function"),
    ("straight_through", "pathwise"),
    ("softmax", "expected"),
    ("single_path", "expected"),
]


def units_of(layer, input_shape):
    del input_shape
    return {"relu": 3.0, "tanh": 2.0}.get(layer.activation.__name__, 1.0)


def linear_supernet():
    """y = x (z_0 theta_0 + z_1 theta_1), squared loss, planted penalty."""

    @snas_keras.search_space
    def one_edge(choose):
        inputs = keras.Input((3,))
        candidates = {
            name: keras.layers.Dense(1, use_bias=False, name=name)
            for name in ("first", "second")
        }
        return inputs, choose("edge", candidates)(inputs)

    def cost(layer, input_shape):
        del input_shape
        return 4.0 if layer.name == "first" else 1.0

    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(one_edge(), temperature=0.7)
    supernet.compile(
        keras.optimizers.SGD(0.0),
        keras.optimizers.SGD(0.0),
        "mse",
        resource=snas_keras.Resource(cost, 0.3),
    )
    return supernet


def test_credit_of_a_linear_network_is_the_closed_form():
    """Nothing moves, so the means over three steps are weighted means of

        credit_k = <2 (y' - y) / n, x theta_k>
        task     = z (credit - z . credit) / T
        resource = 0.3 p (c - p . c),  c = (1, 1/4)

    in which the last step weighs 1, those before 0.99 and 0.99^2. Float32 sums
    of eight terms: 1e-5."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = np.random.default_rng(1).normal(size=(8, 1)).astype("float32")
    supernet = linear_supernet()
    draws = [supernet.architecture.sample(s)["edge"].numpy() for s in range(3)]
    for _ in range(3):
        supernet.train_on_batch(x, y)
    outputs = [x @ np.array(w) for w in supernet.network.get_weights()]

    rows = []
    for z in draws:
        error = z[0] * outputs[0] + z[1] * outputs[1] - y
        credit = np.array([np.sum(2 * error / 8 * o) for o in outputs])
        rows.append((credit, z * (credit - z @ credit) / 0.7, z @ credit))
    weights = np.array([0.99**2, 0.99, 1.0])
    weights /= weights.sum()
    credits, tasks, edges = (np.array([r[i] for r in rows]) for i in range(3))
    deviation = np.sqrt(weights @ credits**2 - (weights @ credits) ** 2)
    found = supernet.credit.values()["edge"]
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found["credit"], weights @ credits, **close)
    np.testing.assert_allclose(found["task"], weights @ tasks, **close)
    np.testing.assert_allclose(found["edge"], weights @ edges, **close)
    resource = 0.3 * 0.5 * (np.array([1.0, 0.25]) - 0.625)
    np.testing.assert_allclose(found["resource"], resource, **close)
    np.testing.assert_allclose(
        found["exposure"], np.mean(draws, axis=0), **close
    )
    np.testing.assert_allclose(
        found["signal_to_noise"],
        np.abs(weights @ credits) / deviation,
        rtol=1e-2,
    )


@pytest.mark.parametrize(("estimator", "gradient"), FORMS)
def test_task_and_resource_sum_to_the_applied_gradient(
    dense_space, features, compiled, estimator, gradient
):
    """SGD of rate 1 moves the logits by minus what was applied. The task's part
    is that of a supernet without a penalty, its draw the same. Sums in float32:
    1e-6 of gradients below 1."""

    def one_step(resource):
        supernet = compiled(
            dense_space,
            estimator=estimator,
            optimizer=keras.optimizers.SGD(0.0),
            architecture_optimizer=keras.optimizers.SGD(1.0),
            resource=resource,
            run_eagerly=True,
        )
        supernet.train_on_batch(*features)
        return supernet

    with_penalty = one_step(
        snas_keras.Resource(units_of, 5.0, gradient=gradient)
    )
    alone = one_step(None).credit.values()
    for name, found in with_penalty.credit.values().items():
        applied = -with_penalty.architecture.logits[name].numpy()
        np.testing.assert_allclose(
            found["task"] + found["resource"], applied, atol=1e-6
        )
        np.testing.assert_allclose(
            found["task"], alone[name]["task"], atol=1e-6
        )
        assert np.abs(found["resource"]).max() > 1e-3
        np.testing.assert_array_equal(alone[name]["resource"], np.zeros(3))


def bias_free_supernet():
    """Two edges to the classifier, one of them behind a convolution whose batch
    norm forgets the scale of what it gets."""

    def convolution():
        return keras.Sequential(
            [
                keras.layers.ReLU(),
                keras.layers.Conv2D(3, 1, use_bias=False),
                layers.FusedBatchNormalization(
                    center=False, scale=False, epsilon=1e-12
                ),
            ]
        )

    @snas_keras.search_space
    def space(choose):
        inputs = keras.Input((4, 4, 3))
        candidates = {"none": layers.Zero, "conv": convolution}
        x = choose("early", candidates)(inputs)
        x = choose("late", {"conv": convolution, "other": convolution})(x)
        direct = choose("direct", candidates)(inputs)
        x = keras.layers.Concatenate()([x, direct])
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
        initializer = keras.initializers.RandomNormal(seed=0, stddev=1.0)
        return inputs, keras.layers.Dense(5, None, False, initializer)(x)

    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(space())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    supernet.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0), loss)
    return supernet


def test_edges_to_a_bias_free_classifier_share_cross_entropy_less_entropy():
    """Logits l are homogeneous in what the edges to the classifier give, so

        sum_edges sum_k z_k credit_k = <l, d loss / d l> = CE - H,

    the identity of the wiring-evolution paper (https://arxiv.org/abs/
    2009.01272). Through a batch norm without scale nothing flows to an edge
    before it (to the norm's epsilon and float32: 1e-5)."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 4, 4, 3)).astype("float32")
    y = generator.integers(0, 5, 16)
    supernet = bias_free_supernet()
    z = supernet.architecture.sample(0)
    logits = supernet.network([tf.constant(x), z], training=True)
    log_p = tf.nn.log_softmax(logits).numpy()
    cross_entropy = -np.mean(log_p[np.arange(16), y])
    entropy = -np.mean(np.sum(np.exp(log_p) * log_p, axis=-1))
    supernet.train_on_batch(x, y)
    found = supernet.credit.values()
    shared = found["late"]["edge"] + found["direct"]["edge"]
    assert abs(cross_entropy - entropy) > 0.01
    np.testing.assert_allclose(shared, cross_entropy - entropy, atol=1e-5)
    assert abs(found["early"]["edge"]) < 1e-5
    assert abs(found["late"]["edge"]) > 1e-3


def test_none_never_has_a_credit(tiny_space, compiled, images):
    supernet = compiled(tiny_space)
    for _ in range(3):
        supernet.train_on_batch(*images)
    for found in supernet.credit.values().values():
        assert found["credit"][0] == found["signal_to_noise"][0] == 0.0
        assert np.abs(found["credit"][1:]).min() > 0.0


def test_a_single_path_gives_credit_to_what_was_run(
    dense_space, features, compiled
):
    supernet = compiled(dense_space, estimator="single_path", optimizer="sgd")
    draws = []
    for step in range(4):
        draws.append(supernet.architecture.sample(step)["block_0"].numpy())
        supernet.train_on_batch(*features)
        found = supernet.credit.values()["block_0"]
        drawn = np.sum(draws, axis=0, dtype="float64")
        np.testing.assert_allclose(found["exposure"], drawn / drawn.sum())
        np.testing.assert_array_equal(found["credit"] != 0.0, drawn > 0)
    assert 0 in drawn or (drawn > 1).any()


def test_a_mean_over_what_was_run_does_not_fade():
    """A candidate that is run once keeps what it got then."""
    credit = _credit.Credit({"edge": ["a", "b"]})
    gradient = {"edge": tf.constant([-2.0, 0.0])}
    nothing = {"edge": None}
    for drawn in ([1.0, 0.0], [0.0, 1.0], [0.0, 1.0]):
        credit.update(
            {"edge": tf.constant(drawn)},
            (gradient, nothing),
            (nothing, nothing),
            single_path=True,
        )
        gradient = {"edge": tf.constant([0.0, 3.0])}
    found = credit.values()["edge"]
    np.testing.assert_allclose(found["credit"], [-2.0, 3.0], rtol=1e-6)


def test_signal_to_noise_is_the_mean_over_the_deviation():
    """Plus and minus one about one half, by hand; a constant is capped."""
    credit = _credit.Credit({"edge": ["noisy", "constant"]})
    nothing = {"edge": None}
    for step in range(2_000):
        value = 0.5 + (-1.0) ** step
        credit.update(
            {"edge": tf.constant([0.5, 0.5])},
            ({"edge": tf.constant([value, 2.0])}, nothing),
            (nothing, nothing),
        )
    noisy, constant = credit.values()["edge"]["signal_to_noise"]
    np.testing.assert_allclose(noisy, 0.5, rtol=0.02)
    np.testing.assert_allclose(constant, 1000.0, rtol=0.01)


def test_loss_scaling_is_taken_back_and_its_overflow_left_out(
    dense_space, features, compiled
):
    """Float16 forward passes agree with float32 to about 1e-2; a forgotten
    factor would be 32768."""
    x, y = features
    found = []
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        supernet = compiled(
            dense_space, resource=snas_keras.Resource(units_of, 1.0)
        )
        supernet.train_on_batch(x, y)
        found.append(supernet.credit.values()["block_0"])
    for key in ("credit", "task", "resource"):
        size = np.abs(found[0][key]).max()
        np.testing.assert_allclose(
            found[1][key], found[0][key], atol=0.03 * size
        )
    supernet.train_on_batch(x * np.float32(np.inf), y)
    after = supernet.credit.values()["block_0"]
    np.testing.assert_allclose(after["task"], found[1]["task"], rtol=1e-6)


def test_frozen_logits_stay_and_have_credit(dense_space, features, compiled):
    supernet = compiled(dense_space)
    supernet.architecture.trainable = False
    supernet.compile("sgd", loss="sparse_categorical_crossentropy")
    supernet.train_on_batch(*features)
    assert np.abs(supernet.credit.values()["block_1"]["credit"]).min() > 0.0
    np.testing.assert_array_equal(
        supernet.architecture.logits["block_1"], np.zeros(3)
    )
