"""CoupledSGD against a hand computation of PyTorch's rule."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras

GRADIENTS = np.random.default_rng(0).normal(size=(6, 2, 3)).astype("float32")
START = np.float32([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])


def by_hand(momentum, weight_decay, nesterov, rates, clip):
    """w after each step, float64; clipping acts before the decay."""
    w, v, path = START.astype("float64"), 0.0, []
    for gradient, rate in zip(GRADIENTS, rates, strict=True):
        norm = np.sqrt((gradient.astype("float64") ** 2).sum())
        g = gradient * min(1.0, clip / norm) + weight_decay * w
        v = momentum * v + g
        w = w - rate * (g + momentum * v if nesterov else v)
        path.append(w)
    return np.array(path)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_steps_are_those_of_the_hand_computation(
    graph, nesterov, momentum, weight_decay
):
    """Six steps with a falling learning rate and clipping; float32 against
    float64 of values below ten: 1e-5."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    rates = [0.1 * 0.5**step for step in range(6)]
    optimizer = snas_keras.CoupledSGD(
        schedule, momentum, nesterov, weight_decay, global_clipnorm=1.5
    )
    variable = keras.Variable(START)
    optimizer.build([variable])

    def apply(gradient):
        optimizer.apply([gradient], [variable])

    step = tf.function(apply) if graph else apply
    path = []
    for gradient in GRADIENTS:
        step(tf.constant(gradient))
        path.append(variable.numpy())
    wanted = by_hand(momentum, weight_decay, nesterov, rates, 1.5)
    np.testing.assert_allclose(path, wanted, atol=1e-5)


def test_decay_is_ten_times_that_of_keras_under_momentum():
    """Zero gradients, a small rate: the weight shrinks by rate * decay / (1 -
    momentum) a step once the velocity has settled."""
    shrinkage = []
    for optimizer in (
        keras.optimizers.SGD(1e-3, momentum=0.9, weight_decay=0.1),
        snas_keras.CoupledSGD(1e-3, 0.9, weight_decay=0.1),
    ):
        variable = keras.Variable(START)
        for _ in range(100):
            optimizer.apply([tf.zeros_like(START)], [variable])
        before = variable.numpy()
        for _ in range(100):
            optimizer.apply([tf.zeros_like(START)], [variable])
        shrinkage.append(-np.log((variable.numpy() / before).mean()))
    assert shrinkage[1] / shrinkage[0] == pytest.approx(10, rel=0.02)


def test_sparse_gradients_are_applied():
    variable = keras.Variable(np.ones((3, 2), "float32"))
    optimizer = snas_keras.CoupledSGD(0.1, 0.9)
    slices = tf.IndexedSlices(
        tf.ones((1, 2)), tf.constant([1]), tf.constant([3, 2])
    )
    optimizer.apply([slices], [variable])
    np.testing.assert_allclose(variable[1], [0.9, 0.9])
    np.testing.assert_allclose(variable[0], [1.0, 1.0])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_a_search_with_it_survives_a_file(
    tmp_path, tiny_space, images, compiled, jit_compile, policy
):
    keras.config.set_dtype_policy(policy)
    supernet = compiled(
        tiny_space,
        optimizer=snas_keras.CoupledSGD(
            0.05, weight_decay=3e-4, global_clipnorm=5.0
        ),
        jit_compile=jit_compile,
    )
    supernet.fit(*images, batch_size=8, epochs=2, verbose=0)
    supernet.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    for model in (supernet, again):
        model.fit(*images, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(supernet.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    inner = again.optimizer
    if policy == "mixed_float16":
        inner = inner.inner_optimizer
    assert inner.optimizers[-1].coupled_weight_decay == 3e-4


def test_config_holds_the_constructor_arguments():
    options = {
        "learning_rate": 0.5,
        "momentum": 0.25,
        "nesterov": True,
        "weight_decay": 0.125,
        "global_clipnorm": 2.0,
    }
    config = snas_keras.CoupledSGD(**options).get_config()
    assert {name: config[name] for name in options} == options
    again = snas_keras.CoupledSGD.from_config(config)
    assert again.get_config() == config


@pytest.mark.parametrize("weight_decay", [-1.0, float("nan")])
def test_bad_weight_decay_is_refused(weight_decay):
    with pytest.raises(ValueError, match="weight_decay="):
        snas_keras.CoupledSGD(weight_decay=weight_decay)
