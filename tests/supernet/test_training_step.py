"""One training step, and how another search overrides it."""

import keras
import numpy as np
import pytest

import snas_keras


@keras.saving.register_keras_serializable("tests")
class LogitsOnSecondHalf(snas_keras.SuperNet):
    """The weights learn from one half of a batch, the logits from the other."""

    def compute_gradients(self, x, y, sample_weight=None):
        half = keras.ops.shape(x)[0] // 2
        first, y_first = super().compute_gradients(x[:half], y[:half])
        second, y_second = super().compute_gradients(x[half:], y[half:])
        logits = {id(v) for v in self.architecture.variables}
        gradients = [
            b if id(variable) in logits else a
            for variable, a, b in zip(
                self.trainable_variables, first, second, strict=True
            )
        ]
        return gradients, keras.ops.concatenate([y_first, y_second])


def length_of_activation(layer, input_shape):
    """A cost that differs between candidates: of relu, tanh and linear."""
    del input_shape
    activation = getattr(layer, "activation", None)
    return float(len(activation.__name__)) if activation else 0.0


def compiled(cls, space):
    keras.utils.set_random_seed(1)
    supernet = snas_keras.build_supernet(space, seed=3)
    supernet = cls(supernet.network, supernet.architecture)
    supernet.compile(
        keras.optimizers.SGD(0.1),
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        resource=snas_keras.Resource(length_of_activation, weight=0.1),
    )
    return supernet


def step(supernet, x, y):
    logs = supernet.train_on_batch(x, y, return_dict=True)
    logits = [np.array(v) for v in supernet.architecture.trainable_variables]
    weights = [np.array(v) for v in supernet.network.trainable_variables]
    return logs, logits, weights


def test_each_half_moves_what_it_should(dense_space, features):
    x, y = features[0][:16], features[1][:16]
    logs, logits, weights = step(
        compiled(LogitsOnSecondHalf, dense_space), x, y
    )
    _, _, by_first = step(
        compiled(snas_keras.SuperNet, dense_space), x[:8], y[:8]
    )
    _, by_second, _ = step(
        compiled(snas_keras.SuperNet, dense_space), x[8:], y[8:]
    )
    for found, expected in ((weights, by_first), (logits, by_second)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_logs_are_those_of_both_halves(dense_space, features):
    x, y = features[0][:16], features[1][:16]
    logs, *_ = step(compiled(LogitsOnSecondHalf, dense_space), x, y)
    parts = [
        step(compiled(snas_keras.SuperNet, dense_space), x[a:b], y[a:b])[0]
        for a, b in ((0, 8), (8, 16))
    ]
    for name in ("loss", "task_loss", "accuracy"):
        expected = np.mean([part[name] for part in parts])
        assert logs[name] == pytest.approx(expected, rel=1e-5)


def test_logs_are_weighted_by_the_size_of_the_batch(dense_space, features):
    """An epoch of 10 and 2 examples: the mean over examples, not batches."""
    x, y = features[0][:12], features[1][:12]
    supernet = compiled(snas_keras.SuperNet, dense_space)
    for optimizer in supernet.optimizer.optimizers:
        optimizer.learning_rate = 0.0
    logs = supernet.fit(x, y, batch_size=10, shuffle=False, verbose=0).history
    losses = []
    for index, part in enumerate((slice(0, 10), slice(10, 12))):
        z = supernet.architecture.sample(index)
        y_pred = supernet.network([keras.ops.array(x[part]), z])
        losses.append(float(supernet.compute_loss(None, y[part], y_pred)))
    expected = (10 * losses[0] + 2 * losses[1]) / 12
    assert logs["task_loss"][0] == pytest.approx(expected, rel=1e-5)
    assert abs(expected - np.mean(losses)) > 1e-3


def test_the_logged_expectation_is_exact_whatever_is_drawn(dense_space):
    """And it is that of whole children: with what is fixed."""
    supernet = compiled(snas_keras.SuperNet, dense_space)
    for optimizer in supernet.optimizer.optimizers:
        optimizer.learning_rate = 0.0
    supernet.architecture.logits["block_0"].assign([1.0, -0.5, 0.0])
    cost = snas_keras.costs.ChildCost(supernet, length_of_activation)
    probabilities = supernet.architecture.distribution().probabilities()
    logs = supernet.train_on_batch(
        np.ones((4, 6)), np.zeros(4), return_dict=True
    )
    assert logs["expected_length_of_activation"] == pytest.approx(
        cost.expected(probabilities), rel=1e-6
    )
