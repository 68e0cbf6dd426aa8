"""Batches whose order depends on nothing but seed, epoch and position."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snas_keras

X = np.arange(10)


def batches(batch_size=3, seed=1, x=X, **options):
    return snas_keras.AddressableBatches(x, -x, batch_size, seed, **options)


def epoch_of(dataset, epoch, batch=0):
    dataset.seek(epoch, batch)
    return [dataset[index][0].tolist() for index in range(len(dataset))]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
    examples=st.integers(1, 50),
    data=st.data(),
)
def test_a_batch_is_a_pure_function_of_seed_epoch_and_position(
    seed, epoch, examples, data
):
    """Whatever was read before, and in whichever order."""
    x = np.arange(examples)
    size = data.draw(st.integers(1, examples))
    wanted = epoch_of(batches(size, seed, x), epoch)
    used = batches(size, seed, x)
    epoch_of(used, epoch + 1)
    used.seek(epoch)
    for index in reversed(range(len(used))):
        assert used[index][0].tolist() == wanted[index]


@settings(deadline=None)
@given(examples=st.integers(1, 50), seed=st.integers(0, 99), data=st.data())
def test_every_example_comes_at_most_once_an_epoch(examples, seed, data):
    size = data.draw(st.integers(1, examples))
    found = sum(epoch_of(batches(size, seed, np.arange(examples)), 3), [])
    assert len(found) == examples // size * size
    assert len(set(found)) == len(found)


def test_every_example_comes_when_the_batches_divide_them():
    assert sorted(sum(epoch_of(batches(5), 0), [])) == X.tolist()


def test_epochs_and_seeds_have_their_own_order():
    """Two of 100! orders are never equal."""
    x = np.arange(100)
    orders = [
        epoch_of(batches(100, seed, x), epoch)[0]
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    assert len({tuple(order) for order in orders}) == 4


def test_what_was_dropped_comes_in_another_epoch():
    """Of 10 examples in batches of 3 one is left out, not always the same."""
    dropped = {
        (set(X) - set(sum(epoch_of(batches(), epoch), []))).pop()
        for epoch in range(50)
    }
    assert len(dropped) > 1


def test_inputs_and_targets_stay_together():
    x, y = batches()[1]
    np.testing.assert_array_equal(y, -x)


def test_sample_weights_stay_with_their_examples():
    x, y, weight = batches(sample_weight=X / 2)[0]
    np.testing.assert_array_equal(weight, x / 2)


def test_structures_of_arrays_are_sliced_alike():
    dataset = snas_keras.AddressableBatches(
        {"image": X, "size": [X + 1, X + 2]}, {"class": -X}, 4
    )
    x, y = dataset[1]
    np.testing.assert_array_equal(x["size"][0], x["image"] + 1)
    np.testing.assert_array_equal(x["size"][1], x["image"] + 2)
    np.testing.assert_array_equal(y["class"], -x["image"])


@pytest.mark.parametrize("batch", [0, 1, 2, 3])
def test_seeking_into_an_epoch_gives_the_rest_of_it(batch):
    whole = epoch_of(batches(), 4)
    dataset = batches()
    assert epoch_of(dataset, 4, batch) == whole[batch:]
    assert len(dataset) == dataset.num_batches == 3 - batch


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_batch_can_be_asked_for_by_its_place(epoch):
    """Whatever was sought."""
    dataset = batches()
    whole = epoch_of(batches(), epoch)
    dataset.seek(epoch=8, batch=2)
    found = [dataset.batch(epoch, i)[0].tolist() for i in range(3)]
    assert found == whole
    assert dataset.batches_per_epoch == 3


def test_asking_for_a_batch_by_its_place_does_not_disturb_an_epoch():
    dataset = batches(augment=_shift)
    dataset.on_epoch_begin()
    found = [dataset[0][0].tolist()]
    dataset.batch(5, 1)
    found += [dataset[1][0].tolist(), dataset[2][0].tolist()]
    assert found == epoch_of(batches(augment=_shift), 0)


def test_within_an_epoch_batches_come_in_the_stated_order():
    """`fit` shuffles the places it asks for, with a state of its own."""
    dataset = batches()
    dataset.on_epoch_begin()
    found = [dataset[place][0].tolist() for place in (2, 0, 1)]
    assert found == epoch_of(batches(), 0)


def test_after_an_epoch_batches_are_those_of_the_place_again():
    dataset = batches()
    dataset.on_epoch_begin()
    first, second = dataset[2][0].tolist(), dataset[2][0].tolist()
    dataset.on_epoch_end()
    last, whole = dataset[2][0].tolist(), epoch_of(batches(), 0)
    assert [first, second, last] == whole
    assert dataset[0][0].tolist() == whole[0]


def test_epochs_follow_each_other_without_seeking():
    """`fit` calls `on_epoch_begin`; the first epoch is number zero."""
    dataset = batches()
    found = []
    for _ in range(3):
        dataset.on_epoch_begin()
        found.append(dataset[0][0].tolist())
    assert found == [epoch_of(batches(), e)[0] for e in range(3)]


def test_epochs_go_on_from_the_one_that_was_sought():
    dataset = batches()
    dataset.seek(7, batch=2)
    found = []
    for _ in range(2):
        dataset.on_epoch_begin()
        found.append([len(dataset), dataset[0][0].tolist()])
    seventh, eighth = (epoch_of(batches(), e) for e in (7, 8))
    assert found == [[1, seventh[2]], [3, eighth[0]]]


class _Recorder(keras.layers.Layer):
    """Notes what it is fed, in order."""

    def call(self, inputs):
        self.seen.append(keras.ops.convert_to_numpy(inputs)[:, 0].tolist())
        return inputs


@pytest.mark.parametrize("shuffle", [True, False])
def test_fit_sees_the_stated_order(shuffle):
    recorder = _Recorder()
    recorder.seen = []
    model = keras.Sequential([recorder, keras.layers.Dense(2)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.arange(12.0).reshape(6, 2)
    dataset = batches(2, x=x)
    model.fit(dataset, epochs=2, shuffle=shuffle, verbose=0)
    wanted = [
        dataset.batch(epoch, index)[0][:, 0].tolist()
        for epoch in range(2)
        for index in range(3)
    ]
    assert recorder.seen == wanted


def _shift(x, generator):
    return x + generator.random(x.shape)


def test_augmentation_is_repeatable():
    first, again = (
        epoch_of(batches(augment=_shift), epoch=2) for _ in range(2)
    )
    assert first == again


def test_augmentation_is_that_of_the_batch_after_seeking_into_an_epoch():
    whole = epoch_of(batches(augment=_shift), 2)
    assert epoch_of(batches(augment=_shift), 2, batch=1) == whole[1:]


def test_every_batch_is_augmented_in_its_own_way():
    """The shift of each place in a batch, over batches, epochs and seeds."""
    zeros = np.zeros(10)
    shifts = [
        shift
        for seed in (0, 1)
        for epoch in (0, 1)
        for batch in epoch_of(batches(3, seed, zeros, augment=_shift), epoch)
        for shift in batch
    ]
    assert len(set(shifts)) == len(shifts) == 36


def test_augmentation_leaves_targets_and_the_arrays_alone():
    x = np.zeros(10)
    dataset = batches(x=x, augment=_shift)
    np.testing.assert_array_equal(dataset[0][1], np.zeros(3))
    np.testing.assert_array_equal(x, np.zeros(10))


def test_nothing_global_is_drawn_from():
    """NumPy's global generator neither changes the order nor is changed."""
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first = epoch_of(batches(augment=_shift), 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(4)
    assert epoch_of(batches(augment=_shift), 0) == first


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"same number.*Received: \[9, 10\]"):
        snas_keras.AddressableBatches(X, X[1:], 2)


def test_sample_weights_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"same number.*Received: \[4, 10\]"):
        batches(sample_weight=X[:4])


def test_fewer_examples_than_a_batch_are_refused():
    message = "one whole batch. Received: 10 examples, batch_size=11"
    with pytest.raises(ValueError, match=message):
        batches(batch_size=11)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_bad_batch_sizes_are_refused(batch_size):
    message = f"`batch_size` must be a positive int.*={batch_size}"
    with pytest.raises(ValueError, match=message):
        batches(batch_size=batch_size)
