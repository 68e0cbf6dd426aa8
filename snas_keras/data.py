"""In-memory data in an order that depends on nothing but seed and position."""

import keras
import numpy as np

from snas_keras import layers


class AddressableBatches(keras.utils.PyDataset):
    """Shuffled batches of arrays; batch i of epoch e is a pure function.

    Every epoch has its own order. With `SearchCheckpoint` a run that was killed
    in the middle of an epoch goes on with the batch it would have had next.
    (`fit` on arrays shuffles too, but under `keras.utils.set_random_seed` every
    epoch has the same order, and no order survives a restart.)

    What is left after the last whole batch of an epoch is dropped; the next
    epoch's order is another.

    Args:
        x: array or structure of arrays, shape (examples, ...).
        y: array or structure of arrays, shape (examples, ...).
        batch_size: int, examples in a batch.
        seed: int, of the order and the augmentation, default 0.
        sample_weight: array, shape (examples,), default None.
        augment: function (x, generator) -> x on one batch of inputs, with a
            `numpy.random.Generator` of that batch, default None.
        **kwargs: of `keras.utils.PyDataset`.

    Raises:
        ValueError: the arrays differ in length, or there are fewer examples
            than `batch_size`.

    Example:

    >>> batches = AddressableBatches(np.arange(6), np.arange(6), 2, seed=1)
    >>> len(batches)
    3
    >>> batches.seek(epoch=4)
    >>> again = AddressableBatches(np.arange(6), np.arange(6), 2, seed=1)
    >>> again.seek(epoch=4, batch=2)
    >>> np.array_equal(batches[2][0], again[0][0])
    True
    """

    def __init__(
        self,
        x,
        y,
        batch_size,
        seed=0,
        sample_weight=None,
        augment=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.arrays = (x, y) if sample_weight is None else (x, y, sample_weight)
        self.num_examples = _common_length(self.arrays)
        self.batch_size = layers.positive_int("batch_size", batch_size)
        if self.num_examples < batch_size:
            raise ValueError(
                "There must be at least one whole batch. Received: "
                f"{self.num_examples} examples, batch_size={batch_size}"
            )
        self.seed = seed
        self.augment = augment
        self.seek(epoch=0)
        self._sought = False

    def seek(self, epoch, batch=0):
        """Let the next epoch be number `epoch`, from its batch `batch` on."""
        self.epoch = epoch
        self.first_batch = batch
        generator = np.random.default_rng([self.seed, epoch])
        self._order = generator.permutation(self.num_examples)
        self._sought = True

    def on_epoch_begin(self):
        if not self._sought:
            self.seek(self.epoch + 1)
        self._sought = False

    @property
    def num_batches(self):
        return self.num_examples // self.batch_size - self.first_batch

    def __len__(self):
        return self.num_batches

    def __getitem__(self, index):
        batch = self.first_batch + index
        start = batch * self.batch_size
        rows = self._order[start : start + self.batch_size]
        x, *rest = keras.tree.map_structure(lambda a: a[rows], self.arrays)
        if self.augment is not None:
            seed = [self.seed, self.epoch, batch]
            x = self.augment(x, np.random.default_rng(seed))
        return (x, *rest)


def _common_length(arrays):
    lengths = {len(array) for array in keras.tree.flatten(arrays)}
    if len(lengths) != 1:
        raise ValueError(
            "All arrays must have the same number of examples. Received: "
            f"{sorted(lengths)}"
        )
    return lengths.pop()
