"""Every registry entry keeps its promises, and the checkers see broken ones."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import costs, estimators, testing, tuner

KL = keras.layers


# Options that make a space small enough; a space that is not here is checked
# as it is.
SMALL = {
    "digits": {"filters": 4, "blocks": 2},
    "snas_cifar": {"cells": 1, "channels": 2, "input_shape": (8, 8, 3)},
    "nasbench201": {
        "channels": 4,
        "cells_per_stage": 1,
        "input_shape": (8, 8, 3),
    },
}


@pytest.mark.parametrize("operation", snas_keras.OPERATIONS)
def test_operation_keeps_its_promises(operation):
    testing.check_operation(operation)


@pytest.mark.slow
@pytest.mark.parametrize("space", snas_keras.SEARCH_SPACES)
def test_search_space_keeps_its_promises(space):
    testing.check_search_space(space, **SMALL.get(space, {}))


@pytest.mark.parametrize("cost", snas_keras.COSTS)
def test_cost_keeps_its_promises(cost):
    testing.check_cost(cost)


@pytest.mark.parametrize("estimator", snas_keras.ESTIMATORS)
def test_estimator_keeps_its_promises(estimator):
    testing.check_estimator(estimator)


@pytest.mark.parametrize("oracle", tuner.ORACLES)
def test_oracle_keeps_its_promises(oracle):
    testing.check_oracle(tuner.ORACLES[oracle])


def test_a_new_entry_of_a_registry_is_known_by_its_name(monkeypatch):
    """One line makes it known everywhere: a name, a message, a check."""
    double = snas_keras.OPERATIONS["nor_conv_1x1"]
    monkeypatch.setitem(snas_keras.OPERATIONS, "new_one", double)
    testing.check_operation("new_one")
    monkeypatch.setitem(snas_keras.COSTS, "new_one", costs.flops)
    assert snas_keras.Resource("new_one", 1.0).name == "new_one"
    estimator = snas_keras.ESTIMATORS["softmax"]
    monkeypatch.setitem(snas_keras.ESTIMATORS, "new_one", estimator)
    space = snas_keras.SEARCH_SPACES["digits"](filters=2, blocks=1)
    assert snas_keras.build_supernet(space, "new_one").architecture.estimator
    for name in ("OPERATIONS", "COSTS", "ESTIMATORS"):
        assert "new_one" in getattr(snas_keras, name)
    with pytest.raises(ValueError, match="new_one"):
        testing.check_estimator("none_such")


def test_a_conforming_operation_of_your_own_passes():
    testing.check_operation(
        lambda filters, strides=1, affine=True: KL.Conv2D(
            filters, 3, strides, padding="same", use_bias=affine
        )
    )


class Scale(KL.Layer):
    """A layer that is not Keras' own, and forgets its argument when saved."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs

    def get_config(self):
        return super().get_config()


keras.saving.register_keras_serializable(package="conformance_test")(Scale)


class BadStock(Scale):
    """A layer that names a stock layer with other outputs."""

    def to_stock(self):
        return KL.Rescaling(2.0)


keras.saving.register_keras_serializable(package="conformance_test")(BadStock)


def ignores_the_stride(filters, strides=1, affine=True):
    return KL.Conv2D(filters, 1)


def ignores_the_filters(filters, strides=1, affine=True):
    return KL.Conv2D(4, 1, strides)


def ignores_affine_but_takes_two_arguments(filters, strides=1):
    return KL.Conv2D(filters, 1, strides)


def _pooled(layer, strides):
    return keras.Sequential([KL.MaxPooling2D(strides), layer])


def forgets_its_argument(filters, strides=1, affine=True):
    return _pooled(Scale(2.0), strides)


def is_not_stock(filters, strides=1, affine=True):
    return _pooled(Scale(), strides)


def has_another_stock_layer(filters, strides=1, affine=True):
    return _pooled(BadStock(), strides)


def accepts_zero_filters(filters, strides=1, affine=True):
    return KL.Conv2D(max(filters, 1), 1, strides)


def divides_by_zero_filters(filters, strides=1, affine=True):
    return KL.Conv2D(8 // (8 // filters), 1, strides)


def computes_in_float32(filters, strides=1, affine=True):
    return KL.Conv2D(filters, 1, strides, dtype="float32")


def explodes(filters, strides=1, affine=True):
    """One layer is finite, two in a row are not."""
    return KL.Conv2D(filters, 1, strides, kernel_initializer=HUGE)


HUGE = keras.initializers.Constant(1e30)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (ignores_the_stride, "divide the sides by the stride"),
        (ignores_the_filters, "keep the channels"),
        (ignores_affine_but_takes_two_arguments, "TypeError"),
        (forgets_its_argument, "survive serialization"),
        (is_not_stock, "become stock Keras layers.* is of tests"),
        (has_another_stock_layer, "stock Keras layers with equal outputs"),
        (accepts_zero_filters, "refuse filters=0"),
        (divides_by_zero_filters, "refuse filters=0.*ZeroDivisionError"),
        (computes_in_float32, "bfloat16 outputs"),
        (explodes, "train with a finite loss"),
    ],
)
def test_a_broken_operation_is_rejected(operation, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_operation(operation)


def test_the_dtype_policy_is_restored_after_a_failure():
    with pytest.raises(AssertionError, match="bfloat16 outputs"):
        testing.check_operation(computes_in_float32)
    assert keras.config.dtype_policy().name == "float32"


class Noise(KL.Layer):
    """Random outside training, so that no two answers are the same."""

    def call(self, inputs):
        return inputs + keras.random.normal((4,))


def _one_choice(candidates, name="layer"):
    @snas_keras.search_space
    def space(choose):
        inputs = keras.Input((4,))
        return inputs, choose(name, candidates)(inputs)

    return space


_counter = itertools.count()


def changes_its_choices():
    return _one_choice({"skip": KL.Identity()}, f"choice_{next(_counter)}")()


def is_no_space():
    return "space"


def makes_no_layer():
    return _one_choice({"three": 3})()


def mixes_shapes():
    return _one_choice({"a": KL.Dense(4), "b": KL.Dense(5)})()


def overflows():
    candidates = {"a": KL.Rescaling(1e30), "b": KL.Rescaling(1e35)}
    return _one_choice(candidates)()


def answers_at_random():
    return _one_choice({"noise": Noise()})()


def cannot_build_every_child():
    calls = itertools.count()

    def once():
        if next(calls) > 1:
            raise RuntimeError("nothing to build")
        return KL.Dense(4)

    return _one_choice({"once": once})()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (changes_its_choices, "have choices that stay the same.* then"),
        (is_no_space, "have choices.*'space', no space"),
        (makes_no_layer, "have choices.*must be a Keras layer"),
        (mixes_shapes, "train as a supernet.*same output shape"),
        (overflows, "train as a supernet with a finite loss.* is (inf|nan)"),
        (answers_at_random, "convert to a child that equals the mode"),
        (cannot_build_every_child, "any genotype.*nothing to build"),
    ],
)
def test_a_broken_search_space_is_rejected(factory, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_search_space(factory)


def test_a_space_of_another_size_than_its_product_is_rejected(monkeypatch):
    monkeypatch.setattr(snas_keras.SearchSpace, "size", lambda self: 7)
    with pytest.raises(AssertionError, match=r"size\(\) is 7, not 25"):
        testing.check_search_space("digits", **SMALL["digits"])


def is_negative(layer, input_shape):
    return -1.0


def is_infinite(layer, input_shape):
    return float("inf")


def is_text(layer, input_shape):
    return "expensive"


def counts_the_batch(layer, input_shape):
    return float(input_shape[0])


def charges_for_nothing(layer, input_shape):
    return 1.0


def is_always_zero(layer, input_shape):
    return 0.0


def knows_only_convolutions(layer, input_shape):
    return costs.parameters(layer, input_shape) / len(layer.trainable_variables)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (is_negative, "finite and not negative.*-1.0 for"),
        (is_infinite, "finite and not negative.*inf for"),
        (is_text, "finite and not negative.*'expensive' for"),
        (counts_the_batch, "on every operation.*TypeError"),
        (charges_for_nothing, "zero for `none`.*`none` costs 1.0"),
        (is_always_zero, "above zero for another.*All operations cost zero"),
        (knows_only_convolutions, "on every operation.*ZeroDivisionError"),
    ],
)
def test_a_broken_cost_is_rejected(cost, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_cost(cost)


def gives_float64(logits, temperature, seed):
    return tf.cast(estimators.relaxed(logits, temperature, seed), "float64")


def sums_to_two(logits, temperature, seed):
    return 2.0 * estimators.relaxed(logits, temperature, seed)


def is_sometimes_negative(logits, temperature, seed):
    z = estimators.relaxed(logits, temperature, seed)
    return tf.where(z < 0.01, z - 0.1, z) + 0.1 * tf.reduce_mean(
        tf.cast(z < 0.01, z.dtype), -1, keepdims=True
    )


def drops_a_row(logits, temperature, seed):
    return estimators.relaxed(logits, temperature, seed)[..., :-1]


def has_hidden_state(logits, temperature, seed):
    noise = tf.random.normal(tf.shape(logits))
    return tf.nn.softmax((logits + noise) / temperature)


def prefers_the_worst(logits, temperature, seed):
    return estimators.relaxed(-logits, temperature, seed)


def has_no_gradient(logits, temperature, seed):
    return tf.stop_gradient(estimators.relaxed(logits, temperature, seed))


def has_a_gradient_of_zero(logits, temperature, seed):
    return has_no_gradient(logits, temperature, seed) + 0.0 * logits


def has_a_gradient_without_limit(logits, temperature, seed):
    """The derivative of sqrt at zero is infinite."""
    z = estimators.softmax(logits, 0.01 * temperature, seed)
    return tf.sqrt(z) / tf.reduce_sum(tf.sqrt(z), -1, keepdims=True)


def ignores_the_temperature(logits, temperature, seed):
    return estimators.relaxed(logits, 1.0, seed)


def cools_only(logits, temperature, seed):
    return estimators.relaxed(logits, tf.minimum(temperature, 1.0), seed)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (gives_float64, "like the logits.*float64"),
        (sums_to_two, "weights that sum to one"),
        (is_sometimes_negative, "weights that sum to one"),
        (drops_a_row, "like the logits.*of shape"),
        (has_hidden_state, "depend on nothing but its arguments"),
        (prefers_the_worst, "larger logit more weight"),
        (has_no_gradient, "finite gradient.*There is no gradient"),
        (has_a_gradient_of_zero, "finite gradient.*It is zero"),
        (has_a_gradient_without_limit, "finite gradient.*nan"),
        (ignores_the_temperature, "follow the temperature.*are one-hot"),
        (cools_only, "follow the temperature.*not 1/3"),
    ],
)
def test_a_broken_estimator_is_rejected(estimator, message):
    with pytest.raises(AssertionError, match=f"(?s){message}"):
        testing.check_estimator(estimator)


def test_the_message_names_the_subject():
    with pytest.raises(AssertionError, match="^Cost <function is_negative"):
        testing.check_cost(is_negative)


class Repeats(tuner.RegularizedEvolutionOracle):
    """Forgets what was tried."""

    def populate_space(self, trial_id):
        values = {name: "a" for name in self.choices}
        return {"status": "RUNNING", "values": values}


class Ends(tuner.RegularizedEvolutionOracle):
    """Ends before all children have been proposed."""

    def populate_space(self, trial_id):
        if len(self.trials) > 20:
            return {"status": "STOPPED"}
        return super().populate_space(trial_id)


class Overspends(tuner.RegularizedEvolutionOracle):
    """Takes no notice of its budget."""

    def __init__(self, *args, max_cost=None, costs=None, **kwargs):
        super().__init__(*args, **kwargs)


class Unseeded(tuner.RegularizedEvolutionOracle):
    """Draws other numbers each time."""

    def __init__(self, *args, seed=0, **kwargs):
        super().__init__(*args, seed=seed + next(_counter), **kwargs)


class Forgets(tuner.RegularizedEvolutionOracle):
    """Begins anew when it is loaded."""

    def set_state(self, state):
        super().set_state(state)
        self.population = []
        self.generator = np.random.default_rng(99)


@pytest.mark.parametrize(
    ("oracle", "message"),
    [
        (Repeats, "every child once.*repeats a child"),
        (Ends, "every child once.*Of 27 children it proposed 21"),
        (Overspends, "keep to the budget.*above 3"),
        (Unseeded, "depend on nothing but its seed"),
        (Forgets, "go on where it was stopped"),
    ],
)
def test_a_broken_oracle_is_rejected(oracle, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_oracle(oracle)
