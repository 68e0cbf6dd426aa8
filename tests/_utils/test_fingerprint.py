"""One fingerprint: who takes the same time, and who runs the same code."""

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras._utils import fingerprint

KL = keras.layers
SHAPE = (None, 4)


def code(layer, shape=SHAPE):
    if not layer.built:
        layer.build(shape)
    return fingerprint.layer_key(layer, shape, same_code=True)


class Scaled(KL.Layer):
    """Hides an attribute from its config, which Keras makes by itself."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs

    def get_config(self):
        return super().get_config()


def subclass():
    class Doubled(KL.Layer):
        def call(self, inputs):
            return 2.0 * inputs

    return Doubled()


def hidden(value):
    layer = Scaled()
    layer.factor = value
    return layer


def functional(function):
    x = keras.Input((4,))
    return keras.Model(x, KL.Lambda(function)(KL.Dense(4)(x)))


def scaled(factor):
    """Return a closure, of which a config says the name alone."""

    def times(x):
        return factor * x

    return times


DIFFERENT = {
    "closures": [KL.Activation(scaled(n)) for n in (1.0, 2.0)],
    "functions given to Dense": [
        KL.Dense(3, activation=scaled(n)) for n in (1.0, 2.0)
    ],
    "functions given to a cell": [
        KL.RNN(KL.SimpleRNNCell(3, activation=scaled(n))) for n in (1.0, 2.0)
    ],
    "Lambda layers": [KL.Lambda(lambda x, n=n: x * n) for n in (1.0, 2.0)],
    "classes of one name": [subclass(), subclass()],
    "attributes that no config names": [Scaled(1.0), Scaled(2.0)],
    "attributes set later": [hidden(1.0), hidden(2.0)],
    "arrays in attributes": [hidden(np.ones(4)), hidden(np.zeros(4))],
    "numbers in a list": [hidden([1.0, 2.0]), hidden([1.0, 3.0])],
    "layers inside a sequence": [
        keras.Sequential([Scaled(1.0)]),
        keras.Sequential([Scaled(2.0)]),
    ],
    "layers inside a model": [
        functional(lambda x: x),
        functional(lambda x: 2.0 * x),
    ],
    "frozen and trained": [KL.Dense(3), KL.Dense(3, trainable=False)],
    "precisions": [KL.Dense(3), KL.Dense(3, dtype="mixed_bfloat16")],
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_code_has_another_fingerprint(kind):
    one, other = DIFFERENT[kind]
    shape = (None, 5, 4) if "cell" in kind else SHAPE
    assert code(one, shape) == code(one, shape)
    assert code(one, shape) != code(other, shape)


def square(x):
    return x * x


EQUAL = {
    "stock": lambda: KL.Dense(3, activation="relu"),
    "stock sequences": lambda: keras.Sequential([KL.Dense(3), KL.ReLU()]),
    "one function for both": lambda: KL.Dense(3, activation=square),
    "an own class": lambda: Scaled(2.0),
    "an own class in a sequence": lambda: keras.Sequential([Scaled(2.0)]),
    "dropout": lambda: KL.Dropout(0.5),
    "attention": lambda: KL.MultiHeadAttention(2, 4),
    "recurrent": lambda: KL.LSTM(3),
    "a functional model": lambda: functional(square),
    "drop path": lambda: snas_keras.layers.DropPath(0.1),
}


@pytest.mark.parametrize("kind", EQUAL)
def test_layers_alike_have_one_fingerprint(kind):
    shape = (None, 5, 4) if kind in ("attention", "recurrent") else SHAPE
    one, other = EQUAL[kind](), EQUAL[kind]()
    if kind == "attention":
        for layer in (one, other):
            layer.build(shape, shape)
    assert code(one, shape) == code(other, shape)


@pytest.mark.parametrize("operation", snas_keras.OPERATIONS)
def test_our_operations_have_one_fingerprint_each(operation):
    image = (None, 8, 8, 4)
    one, other = (snas_keras.OPERATIONS[operation](4) for _ in "ab")
    assert code(one, image) == code(other, image)


def test_shapes_count_in_both_uses():
    layer = KL.Dense(3)
    layer.build(SHAPE)
    for same_code in (False, True):
        keys = {
            fingerprint.layer_key(layer, shape, same_code)
            for shape in (SHAPE, (None, 5, 4))
        }
        assert len(keys) == 2


def test_a_layer_without_a_config_is_refused():
    class Hiding(KL.Layer):
        def __init__(self, size):
            super().__init__()

    with pytest.raises(TypeError, match="needs a `get_config`"):
        fingerprint.layer_key(Hiding(object()), SHAPE)
