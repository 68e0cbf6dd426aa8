"""Shared fixtures: one tiny search space and its supernet."""

import collections
import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The suite runs as two processes, which would share their threads.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras

# Rarely through all that the imports and the tests before have left.
gc.freeze()
gc.set_threshold(50_000, 50, 100)


def pytest_collection_modifyitems(items):
    """Begin with the files of slow tests, so that no process ends long before
    the other."""
    slow = collections.Counter(
        item.path for item in items if item.get_closest_marker("slow")
    )
    items.sort(key=lambda item: -slow[item.path])


@snas_keras.search_space
def tiny(choose, filters=4):
    """Four choices of three candidates: 81 children on 4 x 4 images."""
    x = inputs = keras.Input((4, 4, 2), name="image")
    x = keras.layers.Conv2D(filters, 1, name="stem")(x)
    for block in range(2):
        terms = [
            choose(f"{side}_{block}", tiny_candidates(filters))(x)
            for side in ("left", "right")
        ]
        x = keras.layers.Add()(terms)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, keras.layers.Dense(3, name="classes")(x)


def tiny_candidates(filters):
    return {
        "none": snas_keras.OPERATIONS["none"](filters),
        "conv": snas_keras.OPERATIONS["nor_conv_3x3"](filters),
        "skip": keras.layers.Identity(),
    }


@snas_keras.search_space
def dense(choose, units=4):
    """Two dense blocks without batch norm or dropout, for exact comparisons."""
    x = inputs = keras.Input((6,), name="features")
    for block in ("block_0", "block_1"):
        x = choose(
            block,
            {
                "relu": keras.layers.Dense(units, activation="relu"),
                "tanh": keras.layers.Dense(units, activation="tanh"),
                "linear": keras.layers.Dense(units),
            },
        )(x)
    return inputs, keras.layers.Dense(3)(x)


@pytest.fixture
def tiny_space():
    return tiny()


@pytest.fixture
def dense_space():
    return dense()


@pytest.fixture
def images():
    """32 images of three classes that differ in brightness."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 32)
    x = generator.normal(size=(32, 4, 4, 2)) + y[:, None, None, None]
    return x.astype("float32"), y


@pytest.fixture
def features():
    """64 examples of three linearly separable classes."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 6)).astype("float32")
    return x, (x @ generator.normal(size=(6, 3))).argmax(1)


@pytest.fixture(autouse=True)
def _clean_keras():
    """Every test starts from the same seed and the float32 policy."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True)
def _graphs_as_they_are(request):
    """To optimize the graph of a few steps takes longer than to run it.

    Slow tests, and programs in processes of their own, optimize theirs.
    """
    _optimize_graphs(request.node.get_closest_marker("slow") is not None)


@pytest.fixture
def graphs_of_few_steps(_graphs_as_they_are):
    """A slow test that trains many networks, each for some steps."""
    _optimize_graphs(False)


@pytest.fixture
def optimized_graphs(_graphs_as_they_are):
    """Graphs are those of a program in a process of its own, bit for bit."""
    _optimize_graphs(True)


def _optimize_graphs(is_on):
    tf.config.optimizer.set_experimental_options(
        {"disable_meta_optimizer": not is_on}
    )


def compiled(space, seed=0, estimator="relaxed", **options):
    """Return a compiled supernet with reproducible initial weights."""
    keras.utils.set_random_seed(1)
    supernet = snas_keras.build_supernet(space, estimator, seed=seed)
    options = {
        "optimizer": keras.optimizers.SGD(0.05, momentum=0.9),
        "architecture_optimizer": keras.optimizers.Adam(0.05),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **options,
    }
    supernet.compile(**options)
    return supernet


@pytest.fixture(name="compiled")
def compiled_fixture():
    return compiled
