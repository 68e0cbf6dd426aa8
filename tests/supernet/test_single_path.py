"""Single-path execution: one candidate of each choice runs and is trained."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import snas_keras
from snas_keras import estimators
from snas_keras.layers import _mixed_edge

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SEED = tf.constant([17, 3])
LOGITS = [0.5, -1.0, 2.0]


def softmax(logits):
    powers = np.exp(np.asarray(logits) - np.max(logits))
    return powers / powers.sum()


def test_draws_are_one_hot_and_categorical():
    """Chi-squared of 20,000 draws at p = 1e-6: it sees an error of 0.018."""
    rows = tf.tile([LOGITS], [20_000, 1])
    z = estimators.single_path(rows, 1.0, SEED).numpy()
    assert set(np.unique(z)) == {0.0, 1.0}
    np.testing.assert_array_equal(z.sum(1), 1.0)
    result = stats.chisquare(z.sum(0), 20_000 * softmax(LOGITS))
    assert result.pvalue > 1e-6


def test_gradient_is_credit_times_score():
    """d/d logits_j = r_s (delta_sj - p_j), with r = d loss / d weights."""
    logits, credit = tf.Variable(LOGITS), np.float32([3.0, -1.0, 2.0])
    with tf.GradientTape() as tape:
        weights = estimators.single_path(logits, 1.0, SEED)
        loss = tf.reduce_sum(weights * credit)
    chosen = int(np.argmax(weights))
    wanted = credit[chosen] * (np.eye(3)[chosen] - softmax(LOGITS))
    np.testing.assert_allclose(tape.gradient(loss, logits), wanted, rtol=1e-5)


def tiny_edge(single_path):
    keras.utils.set_random_seed(3)
    layers = {
        "conv": snas_keras.OPERATIONS["nor_conv_3x3"](2),
        "pool": snas_keras.OPERATIONS["max_pool_3x3"](2),
        "skip": keras.layers.Identity(),
    }
    return snas_keras.MixedEdge(layers, single_path=single_path)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("index", range(3))
def test_single_path_equals_the_sum_under_one_hot_weights(index, graph):
    """Outputs, and gradients to the inputs and to all candidates."""
    x = np.random.default_rng(0).normal(size=(4, 4, 4, 2)).astype("float32")
    results = []
    for single_path in (False, True):
        edge = tiny_edge(single_path)
        edge.build(x.shape, (3,))

        def step(inputs, weights, edge=edge):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                y = edge(inputs, weights, training=True)
                loss = tf.reduce_sum(y**2 * inputs)
            sources = [inputs, *(v.value for v in edge.trainable_variables)]
            zero = tf.UnconnectedGradients.ZERO
            gradients = tape.gradient(loss, sources, unconnected_gradients=zero)
            return [y, *gradients]

        run = tf.function(step) if graph else step
        outputs = run(tf.constant(x), tf.one_hot(index, 3))
        results.append([np.array(v) for v in outputs])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_only_the_chosen_candidate_is_run():
    """The batch norm of the others does not see the batch."""
    edge = tiny_edge(single_path=True)
    x = tf.ones((4, 4, 4, 2)) * 5.0
    run = tf.function(lambda x, w: edge(x, w, training=True))
    run(x, tf.constant([0.0, 1.0, 0.0]))
    moved = {
        name: any(
            np.abs(np.array(v)).max() > 0
            for v in layer.non_trainable_variables
            if v.path.endswith("moving_mean")
        )
        for name, layer in edge.candidates.items()
        if layer.weights
    }
    assert moved == {"conv": False, "pool": True}


def two_choices():
    @snas_keras.search_space
    def space(choose):
        x = inputs = keras.Input((6,))
        for name in ("a", "b"):
            x = choose(
                name,
                {
                    "relu": keras.layers.Dense(6, "relu"),
                    "tanh": keras.layers.Dense(6, "tanh"),
                    "skip": keras.layers.Identity(),
                },
            )(x)
        return inputs, keras.layers.Dense(3)(x)

    return space()


def enumerated_gradient(supernet, x, y):
    """sum over children of p(child) * credit_e * (one_hot - p), per choice.

    The credit d loss / d weight is taken by central differences of the
    weighted sum that runs all candidates.
    """
    architecture = supernet.architecture
    p = {k: v.numpy() for k, v in architecture.probabilities().items()}
    totals = {name: np.zeros(3) for name in p}
    for child in itertools.product(range(3), repeat=2):
        chosen = dict(zip(p, child, strict=True))
        probability = np.prod([p[n][k] for n, k in chosen.items()])
        for name, k in chosen.items():
            ends = []
            for scale in (1.01, 0.99):
                weights = {
                    n: np.eye(3, dtype="float32")[c]
                    * (scale if n == name else 1.0)
                    for n, c in chosen.items()
                }
                y_pred = supernet.network(
                    [
                        x,
                        {
                            n: tf.constant(w, "float32")
                            for n, w in weights.items()
                        },
                    ]
                )
                ends.append(float(LOSS(y, y_pred)))
            credit = (ends[0] - ends[1]) / 0.02
            totals[name] += probability * credit * (np.eye(3)[k] - p[name])
    return totals


def test_mean_gradient_of_a_step_is_the_enumerated_one(features):
    """500 steps at rate 1 from the same logits; within 5 standard errors,
    and the steps do differ."""
    x, y = tf.constant(features[0]), features[1]
    supernet = snas_keras.build_supernet(two_choices(), "single_path")
    supernet.architecture.logits["a"].assign([0.5, 0.0, -0.5])
    wanted = enumerated_gradient(supernet, x, y)

    @tf.function
    def gradient(step):
        with tf.GradientTape() as tape:
            z = supernet.architecture.sample(step)
            loss = LOSS(y, supernet.network([x, z], training=True))
        variables = [supernet.architecture.logits[n].value for n in "ab"]
        return tape.gradient(loss, variables)

    found = np.array([gradient(tf.constant(s)) for s in range(500)])
    for index, name in enumerate("ab"):
        samples = found[:, index]
        error = samples.std(0) / np.sqrt(500)
        assert (samples.std(0) > 0).all()
        assert (np.abs(samples.mean(0) - wanted[name]) < 5 * error).all()


def test_nothing_is_traced_again_for_another_path(features, compiled):
    traces = []

    class Counted(keras.losses.Loss):
        def call(self, y_true, y_pred):
            traces.append(1)
            return LOSS(y_true, y_pred)

    supernet = compiled(two_choices(), estimator="single_path", loss=Counted())
    supernet.fit(*features, batch_size=8, epochs=2, verbose=0)
    assert len(traces) == 1


def test_search_trains_and_its_child_is_the_mode(tiny_space, images, compiled):
    supernet = compiled(
        tiny_space,
        estimator="single_path",
        resource=snas_keras.Resource(
            "parameters", 0.1, gradient="score_function"
        ),
    )
    losses = supernet.fit(*images, batch_size=16, epochs=12, verbose=0).history[
        "task_loss"
    ]
    assert min(losses[6:]) < losses[0]
    child = snas_keras.convert(supernet)
    np.testing.assert_allclose(
        child.predict(images[0], verbose=0),
        supernet.predict(images[0], verbose=0),
        atol=1e-6,
    )


def test_a_loaded_file_keeps_its_single_path(tmp_path, tiny_space):
    supernet = snas_keras.build_supernet(tiny_space, "single_path")
    supernet.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    edges = _mixed_edge.mixed_edges(again.network)
    assert all(edge.single_path for edge in edges)
    assert again.architecture.estimator is estimators.single_path


def test_weights_that_are_not_one_hot_are_refused(tiny_space, images, compiled):
    supernet = compiled(tiny_space, estimator="single_path")
    weights = {n: [0.5, 0.5, 0.0] for n in tiny_space.choices()}
    with pytest.raises(ValueError, match="all weights of a choice but one"):
        supernet.evaluate(*images, weights=weights)
    assert np.isfinite(supernet.evaluate(*images, weights="sample", verbose=0))


def test_recurrent_and_masked_candidates_train_under_xla():
    """Tensors of unknown shape between branches and gradient crash it."""

    @snas_keras.search_space
    def text(choose):
        ids = keras.Input((4,), dtype="int32")
        x = keras.layers.Embedding(9, 3, mask_zero=True)(ids)
        block = {
            "gru": keras.layers.GRU(3, return_sequences=True),
            "dense": keras.layers.Dense(3, activity_regularizer="l2"),
        }
        x = choose("block", block)(x)
        return ids, keras.layers.GlobalAveragePooling1D()(x)

    ids = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    found = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        supernet = snas_keras.build_supernet(text(), "single_path", seed=2)
        sgd, other = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.5)
        supernet.compile(sgd, other, "mse", jit_compile=jit_compile)
        y = np.ones((2, 3))
        losses = [supernet.train_on_batch(ids, y)[0] for _ in range(4)]
        found.append([*losses, *supernet.network.get_weights()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
