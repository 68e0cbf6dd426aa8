"""`AddressableBatches` takes all that `fit` takes, and pairs by position."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

import snas_keras

N = 12
X = np.arange(N, dtype="float32")
Pair = collections.namedtuple("Pair", ["left", "right"])


class Series:
    """Looks up by label, as a series does: [0] is not its first element."""

    def __init__(self, values):
        self.values = np.array(values)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, labels):
        return self.values[(np.asarray(labels) + 5) % len(self.values)]

    def to_numpy(self):
        return self.values


def batches(x, y=None, **options):
    return snas_keras.AddressableBatches(x, y, 4, seed=1, **options)


@pytest.mark.parametrize(
    "make",
    [
        list,
        lambda x: [[v] for v in x.tolist()],
        Series,
        tf.constant,
        keras.Variable,
        lambda x: x.astype("float64"),
        lambda x: x.astype(object),
        lambda x: sparse.csr_matrix(x[:, None]),
        lambda x: tf.ragged.constant([[v] for v in x.tolist()]),
    ],
    ids=[
        *("numbers", "lists", "series", "tensor", "variable", "float64"),
        *("objects", "sparse", "ragged"),
    ],
)
def test_examples_are_paired_by_position_whatever_holds_them(make):
    dataset = batches(X, make(X * 10))
    for index in range(3):
        x, y = dataset.batch(0, index)
        if sparse.issparse(y):
            y = y.toarray()
        y = y.to_tensor() if isinstance(y, tf.RaggedTensor) else y
        np.testing.assert_array_equal(np.ravel(y), x * 10)


def test_frames_and_series_are_paired_by_position():
    pandas = pytest.importorskip("pandas")
    order = np.random.default_rng(0).permutation(N)
    frame = pandas.DataFrame(
        {
            "size": X,
            "count": np.arange(N),
            "label": X > 5,
            "kind": list("ab") * 6,
        }
    ).iloc[order]
    x = {"numbers": frame[["size", "count"]], "kind": frame["kind"]}
    dataset = batches(x, frame["label"])
    for index in range(3):
        x, y = dataset.batch(2, index)
        size = x["numbers"][:, 0]
        np.testing.assert_array_equal(x["numbers"][:, 1], size)
        np.testing.assert_array_equal(y, size > 5)
        kinds = np.array([b"a", b"b"])[size.astype(int) % 2]
        assert x["kind"].numpy().tolist() == kinds.tolist()
    missing = pandas.Series(["a", None] * 6, dtype=object)
    with pytest.raises(TypeError, match="fill in what is missing"):
        batches(X, missing)


def test_batches_without_targets_are_inputs_alone():
    assert len(batches(X, None).batch(0, 0)) == 1
    with pytest.raises(ValueError, match="with y=None"):
        batches(X, None, sample_weight=X)


def test_structures_keep_their_keys_and_their_order():
    x = {"b": [X, X + 1], "a": Pair(X + 2, (X + 3,))}
    x, y = batches(x, {"one": X}).batch(0, 1)
    assert list(x) == ["b", "a"]
    np.testing.assert_array_equal(x["b"][1], x["b"][0] + 1)
    np.testing.assert_array_equal(x["a"].right[0], x["a"].left + 1)
    np.testing.assert_array_equal(y["one"], x["b"][0])


def test_strings_are_strings():
    words = ["cat", "mouse", "ox"] * 4
    for data in (words, np.array(words, object), tf.constant(words)):
        x, y = batches(data, X).batch(0, 0)
        found = [word.decode() for word in x.numpy()]
        assert found == [words[int(i)] for i in y]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((v for v in X), "`x` must be an array.*generator"),
        ({"a": {1, 2}}, r"`x\['a'\]` must be an array.*set"),
        ([X, None], r"`x\[1\]` must be an array.*left out.*NoneType"),
        (tf.data.Dataset.from_tensor_slices(X), "`x` must be an array"),
        (
            tf.sparse.from_dense(X[:, None]),
            "`x` must be an array.*SparseTensor",
        ),
        (np.float32(3), r"`x` must have a first axis.*\(\)"),
        (np.array([1, None] * 6, object), "`x` must hold numbers.*NoneType"),
    ],
)
def test_what_is_no_array_is_refused_by_its_place(x, message):
    with pytest.raises(TypeError, match=message):
        batches(x, X)


def test_a_list_of_examples_is_told_from_a_list_of_inputs():
    with pytest.raises(ValueError, match="a list of arrays is several inputs"):
        batches([np.ones(3)] * N, X)


def feed(data):
    """Return what a model gets of the first epoch, as `fit` passes it on."""
    seen = []

    class Recorder(keras.Model):
        def train_step(self, data):
            seen.append(keras.tree.map_structure(np.array, data))
            return {"loss": 0.0}

    model = Recorder()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(data, verbose=0)
    return seen


@pytest.mark.parametrize(
    ("x", "y", "weight"),
    [
        (X, None, None),
        ([X, X[:, None]], [X, X], None),
        ({"b": X, "a": [X, X]}, {"one": X}, {"one": X}),
        (X, X, X),
        (["cat", "ox"] * 6, X, None),
    ],
)
def test_fit_is_given_the_batches(x, y, weight):
    dataset = batches(x, y, sample_weight=weight)
    seen = feed(dataset)
    assert len(seen) == 3
    for index, found in enumerate(seen):
        parts = keras.utils.unpack_x_y_sample_weight(found)
        wanted = (*dataset.batch(0, index), None, None)[:3]
        for part, own in zip(parts, wanted, strict=True):
            if own is not None:
                keras.tree.map_structure(
                    lambda a, b: np.testing.assert_array_equal(
                        np.asarray(a).astype(str), np.asarray(b).astype(str)
                    ),
                    part,
                    own,
                )


def flip(x, y, generator):
    """Turn images and masks around together."""
    turn = generator.integers(2, size=len(x)) * 2 - 1
    return x * turn, y * turn


def test_inputs_and_targets_are_augmented_together():
    dataset = batches(X + 1, 10 * (X + 1), augment=flip, sample_weight=X)
    signs = set()
    for index in range(3):
        x, y, weight = dataset.batch(0, index)
        np.testing.assert_array_equal(y, 10 * x)
        np.testing.assert_array_equal(np.abs(x), weight + 1)
        signs |= set(np.sign(x))
    assert signs == {-1.0, 1.0}
    again = batches(X + 1, 10 * (X + 1), augment=flip)
    np.testing.assert_array_equal(again.batch(0, 2)[0], x)


@pytest.mark.parametrize(
    "augment",
    [
        lambda x, generator: x + 1,
        lambda x, generator, by=1: x + by,
        lambda x, *more: x + 1,
        lambda *both: both[0] + 1,
    ],
)
def test_an_augmentation_of_two_arguments_is_of_inputs_alone(augment):
    x, y = batches(X, X, augment=augment).batch(0, 0)
    np.testing.assert_array_equal(x, y + 1)


@pytest.mark.parametrize(
    "augment", [lambda x: x, lambda x, y, w, g: x, lambda x, *, generator: x]
)
def test_an_augmentation_of_other_arguments_is_refused(augment):
    with pytest.raises(TypeError, match=r"`augment` must take.*Received: aug"):
        batches(X, X, augment=augment)


def test_an_augmentation_that_loses_something_is_refused():
    with pytest.raises(ValueError, match="must return the 4 examples"):
        batches(X, X, augment=lambda x, generator: x[:3]).batch(0, 0)
    with pytest.raises(ValueError, match="must return the 4 examples"):
        batches(X, X, augment=lambda x, y, g: (x, y[:3])).batch(0, 0)
    with pytest.raises(ValueError, match=r"must return \(x, y\)"):
        batches(X, X, augment=lambda x, y, g: x).batch(0, 0)
