"""A search on one device and on two replicas: python mirrored_search.py OUT.

In a process of its own: logical devices are set before TensorFlow starts.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import snas_keras
from tests import conftest


def two_devices():
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical, logical])
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def options():
    return {
        "optimizer": snas_keras.CoupledSGD(0.1, weight_decay=0.01),
        "architecture_optimizer": keras.optimizers.SGD(1.0),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "resource": snas_keras.Resource(cost_by_activation, 5.0),
        "metrics": ["accuracy"],
    }


def cost_by_activation(layer, input_shape):
    """A cost that differs, so that its gradient must be scaled right."""
    del input_shape
    return float(len(layer.activation.__name__))


def search(strategy):
    """Three steps without batch norm, so that one equals two replicas."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(48, 6)).astype("float32")
    y = (x @ generator.normal(size=(6, 3))).argmax(1)
    with strategy.scope():
        supernet = conftest.compiled(conftest.dense(), **options())
        history = supernet.fit(
            x,
            y,
            batch_size=16,
            shuffle=False,
            verbose=0,
            callbacks=[snas_keras.TemperatureSchedule()],
        ).history
        supernet.evaluate(x, y, verbose=0, weights="sample")
    return supernet, history


def replicas_agree(supernet, strategy):
    variables = [
        *supernet.architecture.weights,
        supernet.step,
        *supernet.network.trainable_variables,
    ]
    for variable in variables:
        first, second = strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def refusals(strategy):
    asked = {
        "steps_per_execution": {"steps_per_execution": 2},
        "jit_compile": {"jit_compile": True},
        "gradient_accumulation_steps": {
            "optimizer": keras.optimizers.SGD(gradient_accumulation_steps=2)
        },
    }
    with strategy.scope():
        for name, option in asked.items():
            try:
                conftest.compiled(conftest.dense(), **{**options(), **option})
            except ValueError as error:
                print("refused", name, name in str(error))


def main(output):
    strategy = two_devices()
    one, one_history = search(tf.distribute.get_strategy())
    two, two_history = search(strategy)
    replicas_agree(two, strategy)
    refusals(strategy)
    for name, values in one_history.items():
        np.testing.assert_allclose(two_history[name], values, rtol=1e-5)
    arrays = {}
    for prefix, supernet in (("one", one), ("two", two)):
        for index, v in enumerate(supernet.trainable_variables):
            arrays[f"{prefix}_{index}"] = v.numpy()
        arrays[f"{prefix}_step"] = supernet.step.numpy()
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
