"""In-memory batches whose order depends only on seed and position."""

import inspect
import typing
from collections.abc import Callable

import keras
import numpy as np

from snas_keras._utils import checks
from snas_keras.training import _arrays


class AddressableBatches(keras.utils.PyDataset):
    """Shuffled batches of arrays; batch i of epoch e is a pure function.

    Every epoch has its own order. With `SearchCheckpoint` a run that was killed
    in the middle of an epoch goes on with the batch it would have had next.
    (`fit` on arrays shuffles too, but under `keras.utils.set_random_seed` every
    epoch has the same order, and no order survives a restart.)

    It takes what `fit` takes: arrays, tensors, frames and series, and lists,
    tuples and mappings of them. Examples are paired by position, as in `fit`:
    the index of a frame or series does not matter.

    What is left after the last whole batch of an epoch is dropped; the next
    epoch's order is another. `fit`'s own `shuffle`, whose order depends on
    hidden state, has no effect.

    Args:
        x: array or structure of arrays, shape (examples, ...).
        y: array or structure of arrays, shape (examples, ...), or None.
        batch_size: int, examples in a batch.
        seed: int, of the order and the augmentation, default 0.
        sample_weight: array or structure of arrays, shape (examples,), default
            None.
        augment: function (x, generator) -> x on one batch of inputs, or (x, y,
            generator) -> (x, y) on inputs and targets together, such as images
            and masks; with a `numpy.random.Generator` of that batch. The number
            of its parameters without a default, 2 or 3, says which it is.
            Default None.

    Raises:
        TypeError: a part of the data is no array, or `augment` takes other
            arguments.
        ValueError: the arrays differ in length, there are fewer examples than
            `batch_size`, or weights without targets; in a batch: `augment`
            returns something else.

    Example:

    >>> batches = AddressableBatches(np.arange(6), np.arange(6), 2, seed=1)
    >>> len(batches)
    3
    >>> again = AddressableBatches(np.arange(6), np.arange(6), 2, seed=1)
    >>> np.array_equal(batches.batch(4, 2)[0], again.batch(4, 2)[0])
    True
    """

    def __init__(
        self,
        x: typing.Any,
        y: typing.Any,
        batch_size: int,
        seed: int = 0,
        sample_weight: typing.Any = None,
        augment: Callable | None = None,
    ):
        super().__init__()
        if y is None and sample_weight is not None:
            raise ValueError(
                "Sample weights weigh the losses of targets. Received: "
                "`sample_weight` with y=None"
            )
        self.x, self.y, self.sample_weight = (
            None if data is None else _arrays.as_structure(data, name)
            for name, data in zip(
                ("x", "y", "sample_weight"), (x, y, sample_weight), strict=True
            )
        )
        self.num_examples = _arrays.common_length(
            (self.x, self.y, self.sample_weight)
        )
        self.batch_size = checks.positive_int("batch_size", batch_size)
        if self.num_examples < batch_size:
            raise ValueError(
                "There must be at least one whole batch. Received: "
                f"{self.num_examples} examples, batch_size={batch_size}"
            )
        self.seed = seed
        self.augment = augment
        self._augments_targets = augment is not None and _takes_targets(augment)
        self.epoch = -1
        self.first_batch = 0
        self._sought = False
        self._next = None
        self._order_of = None

    def batch(self, epoch: int, index: int) -> tuple:
        """Return one batch as (x,), (x, y) or (x, y, sample_weight).

        Args:
            epoch: int, from 0.
            index: int, from 0.

        Returns:
            Tuple of arrays or structures of them, shape (batch_size, ...).
        """
        start = index * self.batch_size
        rows = self._order(epoch)[start : start + self.batch_size]
        x, y, weight = (
            _arrays.take_rows(part, rows)
            for part in (self.x, self.y, self.sample_weight)
        )
        if self.augment is not None:
            x, y = self._augmented(
                x, y, np.random.default_rng([self.seed, epoch, index])
            )
        if weight is not None:
            return x, y, weight
        return (x,) if y is None else (x, y)

    def _augmented(self, x, y, generator):
        if not self._augments_targets:
            x = self.augment(x, generator)
        else:
            pair = self.augment(x, y, generator)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(
                    "`augment` of three arguments must return (x, y). "
                    f"Received: {type(pair).__name__}"
                )
            x, y = pair
        lengths = {int(a.shape[0]) for a in _arrays.arrays_of((x, y))}
        if lengths != {self.batch_size}:
            raise ValueError(
                f"`augment` must return the {self.batch_size} examples that it "
                f"is given. Received: lengths {sorted(lengths)}"
            )
        return x, y

    def _order(self, epoch):
        if self._order_of != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            self._permutation = generator.permutation(self.num_examples)
            self._order_of = epoch
        return self._permutation

    @property
    def arrays(self) -> tuple:
        """The data as (x, y), or (x, y, sample_weight) where there is one."""
        if self.sample_weight is None:
            return self.x, self.y
        return self.x, self.y, self.sample_weight

    @property
    def description(self) -> dict[str, typing.Any]:
        """What the batches depend on, the data's values aside."""
        return {
            "examples": self.num_examples,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augment": self.augment is not None,
        }

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Let the next epoch be number `epoch`, from its batch `batch` on.

        Args:
            epoch: int, from 0.
            batch: int, from 0, default 0.
        """
        self.epoch = epoch
        self.first_batch = batch
        self._sought = True

    def on_epoch_begin(self) -> None:
        if not self._sought:
            self.seek(self.epoch + 1)
        self._sought = False
        self._next = self.first_batch

    def on_epoch_end(self) -> None:
        self._next = None

    @property
    def batches_per_epoch(self) -> int:
        """The number of whole batches."""
        return self.num_examples // self.batch_size

    @property
    def num_batches(self) -> int:
        """The number of batches that this epoch still has."""
        return self.batches_per_epoch - self.first_batch

    def __len__(self):
        return self.num_batches

    def __getitem__(self, index):
        if self._next is None:
            return self.batch(max(self.epoch, 0), self.first_batch + index)
        # `fit` may ask in an order of its own: it gets ours.
        self._next += 1
        return self.batch(self.epoch, self._next - 1)


def _takes_targets(augment):
    """Say whether it takes (x, y, generator) and not (x, generator)."""
    try:
        signature = inspect.signature(augment)
    except ValueError:  # Code that is not Python's.
        return False
    required = [
        p
        for p in signature.parameters.values()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    takes_targets = len(required) == 3
    try:
        signature.bind(*range(2 + takes_targets))
    except TypeError as error:
        raise TypeError(
            "`augment` must take (x, generator) or (x, y, generator). "
            f"Received: augment{signature}"
        ) from error
    return takes_targets
