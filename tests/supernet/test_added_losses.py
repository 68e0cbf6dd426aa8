"""Regularizers and added losses count once, by their candidate's weight."""

import keras
import numpy as np
import pytest

import snas_keras

KL = keras.layers
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.zeros((8, 3), "float32")


@keras.saving.register_keras_serializable("tests")
class Shrinks(KL.Layer):
    """Adds the mean square of its inputs to the loss."""

    def call(self, inputs):
        self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
        return inputs


def regularized(penalty):
    return {
        "kernel": KL.Dense(
            3, kernel_regularizer=keras.regularizers.L2(penalty)
        ),
        "activity": KL.Dense(
            3, activity_regularizer=keras.regularizers.L2(2 * penalty)
        ),
        "added": keras.Sequential([KL.Dense(3), Shrinks()]),
        "none": KL.Dense(3),
    }


@snas_keras.search_space
def shrunk(choose):
    x = inputs = keras.Input((4,))
    x = choose("block", regularized(0.3))(x)
    fixed = KL.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1))
    return inputs, fixed(x)


def supernet_of(space, estimator="relaxed", recompute=False, **options):
    keras.utils.set_random_seed(2)
    supernet = snas_keras.build_supernet(space, estimator, recompute=recompute)
    supernet.compile(
        keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0), "mse", **options
    )
    return supernet


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
@pytest.mark.parametrize("candidate", ["kernel", "activity", "added", "none"])
def test_evaluation_has_the_losses_of_the_child(estimator, candidate):
    supernet = supernet_of(shrunk(), estimator, run_eagerly=True)
    genotype = snas_keras.Genotype({"block": candidate})
    child = snas_keras.convert(supernet, genotype)
    child.compile("sgd", "mse", run_eagerly=True)
    expected = child.evaluate(X, Y, verbose=0)
    found = supernet.evaluate(X, Y, weights=genotype, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("estimator", ["straight_through", "single_path"])
def test_a_drawn_candidate_counts_in_full_and_alone_in_training(estimator):
    supernet = supernet_of(shrunk(), estimator)
    for step in range(4):
        drawn = supernet.architecture.sample(step)["block"].numpy()
        name = list(regularized(1.0))[int(drawn.argmax())]
        child = snas_keras.convert(supernet, {"block": name})
        child.compile("sgd", "mse", run_eagerly=True)
        logs = supernet.train_on_batch(X, Y, return_dict=True)
        supernet.reset_metrics()
        expected = child.evaluate(X, Y, verbose=0)
        assert logs["task_loss"] == pytest.approx(expected, rel=1e-5), name


def test_a_relaxed_draw_counts_each_by_its_weight():
    supernet = supernet_of(shrunk())
    z = supernet.architecture.sample(0)["block"].numpy()
    [edge] = snas_keras.layers.mixed_edges(supernet.network)
    layers = edge.candidates
    kernel = 0.3 * np.sum(np.square(layers["kernel"].kernel))
    activity = 0.6 * np.sum(np.square(layers["activity"](X))) / len(X)
    added = np.mean(np.square(layers["added"].layers[0](X)))
    fixed = 0.1 * np.sum(np.square(supernet.network.layers[-1].kernel))
    y = supernet.network([keras.ops.array(X), {"block": keras.ops.array(z)}])
    expected = np.mean(np.square(y)) + fixed
    expected += z[0] * kernel + z[1] * activity + z[2] * added
    logs = supernet.train_on_batch(X, Y, return_dict=True)
    assert logs["task_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
def test_a_weight_that_a_layer_changes_while_called_is_changed(estimator):
    """Spectral normalization keeps the kernel at norm one, as in Keras."""
    big = keras.initializers.RandomNormal(stddev=3.0, seed=1)

    @snas_keras.search_space
    def critic(choose):
        inputs = keras.Input((4,))
        dense = KL.Dense(3, kernel_initializer=big, use_bias=False)
        block = {"normal": KL.SpectralNormalization(dense)}
        return inputs, choose("block", block)(inputs)

    supernet = supernet_of(critic(), estimator)
    supernet.fit(X, Y, epochs=20, batch_size=8, verbose=0)
    [edge] = snas_keras.layers.mixed_edges(supernet.network)
    kernel = np.array(edge.candidates["normal"].layer.kernel)
    assert np.linalg.norm(kernel, 2) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("estimator", ["relaxed", "single_path"])
@pytest.mark.parametrize(
    "options",
    [{"recompute": True}, {"jit_compile": True}, {"run_eagerly": True}],
    ids=["recompute", "XLA", "eager"],
)
def test_losses_are_the_same_however_a_step_is_computed(estimator, options):
    losses = [
        supernet_of(shrunk(), estimator, **how).train_on_batch(X, Y)
        for how in ({}, options)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"recompute": True}, {"jit_compile": True}]
)
def test_noise_is_drawn_anew_in_every_step_and_edge(options):
    """Of two edges alike, in two steps: four different masks of dropout."""

    @snas_keras.search_space
    def noisy(choose):
        inputs = keras.Input((50,))
        block = {"drop": KL.Dropout(0.5), "other": KL.Dropout(0.5)}
        return inputs, [choose(name, dict(block))(inputs) for name in "ab"]

    supernet = supernet_of(noisy(), "single_path", **options)
    x = np.ones((4, 50), "float32")
    seen = []

    def recorded(y_true, y_pred):
        del y_true
        return keras.ops.mean(y_pred * np.arange(50.0), axis=-1)

    supernet.compile(
        loss=recorded, metrics=[], jit_compile=options.get("jit_compile")
    )
    for _ in range(2):
        logs = supernet.train_on_batch(x, [x, x], return_dict=True)
        seen.append(logs["task_loss"])
        supernet.reset_metrics()
    assert abs(seen[0] - seen[1]) > 1e-6
