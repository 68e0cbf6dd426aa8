"""A search that has come to nothing says so at the end of `fit`."""

import warnings

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import supernet as supernet_lib

KL = keras.layers


@snas_keras.search_space
def blocks(choose):
    x = inputs = keras.Input((6,))
    for name in ("first", "second"):
        x = choose(name, {"dense": KL.Dense(6, "relu"), "skip": KL.Identity()})(
            x
        )
    return inputs, KL.Dense(3)(x)


def searched(logits, x, y, rate=0.0, **options):
    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(blocks())
    supernet.compile(
        keras.optimizers.Adam(rate),
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    for variable in supernet.architecture.logits.values():
        variable.assign(logits)
    supernet.fit(x, y, verbose=0, **options)
    return supernet


def test_a_child_without_weights_is_named(features):
    with pytest.warns(
        supernet_lib.SearchWarning, match="without weights.*skip"
    ):
        searched([0.0, 5.0], *features, rate=0.1, epochs=5)


def test_a_child_at_chance_is_named_with_its_accuracy(features):
    x, y = features
    with pytest.warns(supernet_lib.SearchWarning, match="at chance.*0.333"):
        searched([5.0, 0.0], 0.0 * x, y % 3)


def test_validation_tells_too_whatever_the_training_data(features):
    x, y = features
    noise = np.random.default_rng(0).permutation(y)
    with pytest.warns(supernet_lib.SearchWarning, match="at chance"):
        searched([5.0, 0.0], x, y, validation_data=(0.0 * x, noise))


def test_a_good_search_is_silent(features):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        searched([5.0, 0.0], *features, rate=0.05, epochs=30)
    said = [w for w in caught if w.category is supernet_lib.SearchWarning]
    assert said == []


def test_a_search_that_diverged_says_so(features):
    with pytest.warns(supernet_lib.SearchWarning, match="not finite"):
        searched([np.nan, 0.0], *features)
