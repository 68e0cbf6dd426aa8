"""In-memory data in an order that depends on nothing but seed and position."""

import keras
import numpy as np

from snas_keras._utils import checks


class AddressableBatches(keras.utils.PyDataset):
    """Shuffled batches of arrays; batch i of epoch e is a pure function.

    Every epoch has its own order. With `SearchCheckpoint` a run that was killed
    in the middle of an epoch goes on with the batch it would have had next.
    (`fit` on arrays shuffles too, but under `keras.utils.set_random_seed` every
    epoch has the same order, and no order survives a restart.)

    What is left after the last whole batch of an epoch is dropped; the next
    epoch's order is another. `fit`'s own `shuffle`, whose order depends on
    hidden state, has no effect.

    Args:
        x: array or structure of arrays, shape (examples, ...).
        y: array or structure of arrays, shape (examples, ...).
        batch_size: int, examples in a batch.
        seed: int, of the order and the augmentation, default 0.
        sample_weight: array, shape (examples,), default None.
        augment: function (x, generator) -> x on one batch of inputs, with a
            `numpy.random.Generator` of that batch, default None.

    Raises:
        ValueError: the arrays differ in length, or there are fewer examples
            than `batch_size`.

    Example:

    >>> batches = AddressableBatches(np.arange(6), np.arange(6), 2, seed=1)
    >>> len(batches)
    3
    >>> again = AddressableBatches(np.arange(6), np.arange(6), 2, seed=1)
    >>> np.array_equal(batches.batch(4, 2)[0], again.batch(4, 2)[0])
    True
    """

    def __init__(
        self, x, y, batch_size, seed=0, sample_weight=None, augment=None
    ):
        super().__init__()
        self.arrays = (x, y) if sample_weight is None else (x, y, sample_weight)
        self.num_examples = _common_length(self.arrays)
        self.batch_size = checks.positive_int("batch_size", batch_size)
        if self.num_examples < batch_size:
            raise ValueError(
                "There must be at least one whole batch. Received: "
                f"{self.num_examples} examples, batch_size={batch_size}"
            )
        self.seed = seed
        self.augment = augment
        self.epoch = -1
        self.first_batch = 0
        self._sought = False
        self._next = None
        self._order_of = None

    def batch(self, epoch, index):
        """Return one batch as (x, y) or (x, y, sample_weight).

        Args:
            epoch: int, from 0.
            index: int, from 0.

        Returns:
            Tuple of arrays or structures of them, shape (batch_size, ...).
        """
        start = index * self.batch_size
        rows = self._order(epoch)[start : start + self.batch_size]
        x, *rest = keras.tree.map_structure(lambda a: a[rows], self.arrays)
        if self.augment is not None:
            x = self.augment(
                x, np.random.default_rng([self.seed, epoch, index])
            )
        return (x, *rest)

    def _order(self, epoch):
        if self._order_of != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            self._permutation = generator.permutation(self.num_examples)
            self._order_of = epoch
        return self._permutation

    def seek(self, epoch, batch=0):
        """Let the next epoch be number `epoch`, from its batch `batch` on."""
        self.epoch = epoch
        self.first_batch = batch
        self._sought = True

    def on_epoch_begin(self):
        if not self._sought:
            self.seek(self.epoch + 1)
        self._sought = False
        self._next = self.first_batch

    def on_epoch_end(self):
        self._next = None

    @property
    def batches_per_epoch(self):
        return self.num_examples // self.batch_size

    @property
    def num_batches(self):
        return self.batches_per_epoch - self.first_batch

    def __len__(self):
        return self.num_batches

    def __getitem__(self, index):
        if self._next is None:
            return self.batch(max(self.epoch, 0), self.first_batch + index)
        # `fit` may ask in an order of its own: it gets ours.
        self._next += 1
        return self.batch(self.epoch, self._next - 1)


def _common_length(arrays):
    lengths = {len(array) for array in keras.tree.flatten(arrays)}
    if len(lengths) != 1:
        raise ValueError(
            "All arrays must have the same number of examples. Received: "
            f"{sorted(lengths)}"
        )
    return lengths.pop()
