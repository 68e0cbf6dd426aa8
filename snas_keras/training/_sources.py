"""Resumable data: the position of each kind of data set."""

import collections.abc
import random
import typing
import zlib

import keras
import numpy as np
import tensorflow as tf

from snas_keras.training import _attributes, _batches

# How often Keras iterates over a finite dataset in an epoch: once more at its
# end than it reads, and once to look at the order of the epoch, by us.
_ITERATIONS = 3


def source(batches: typing.Any) -> typing.Any:
    """Return what positions the data that `fit` is given.

    Args:
        batches: AddressableBatches, keras.utils.PyDataset or tf.data.Dataset.

    Returns:
        An object with `first`, `check`, `begin`, `unread`, `state`, `restore`
        and `description`.

    Raises:
        TypeError: other data.
    """
    for kind, make in (
        (_batches.AddressableBatches, _Seeking),
        (keras.utils.PyDataset, _Indexed),
        (tf.data.Dataset, _Pipeline),
    ):
        if isinstance(batches, kind):
            return make(batches)
    raise TypeError(
        "`batches` must be what fit is given, AddressableBatches, a "
        "keras.utils.PyDataset or a tf.data.Dataset: arrays and generators "
        "have no position to go on from (AddressableBatches(x, y, batch_size) "
        f"has one). Received: batches of type {type(batches).__name__}"
    )


class _Source:
    """Data that are read from the beginning of an epoch."""

    def __init__(self, batches):
        self.batches = batches
        self.is_endless = False

    @property
    def description(self):
        return {"kind": type(self.batches).__name__}

    def check(self, steps, strategy):
        """Refuse what cannot be taken up."""

    def begin(self, epoch, batch):
        """Let the epoch begin with a batch; what is read first is `unread`."""

    def unread(self, epoch, batch, steps):
        """Return how many batches are to be read to get to a position."""
        return batch + epoch * steps * self.is_endless

    def state(self, store):
        """Return JSON of the state at the beginning of an epoch."""
        return {}

    def restore(self, epoch, state, load):
        """Take up such a state."""

    def _check_steps(self, steps, count):
        if steps != count:
            raise ValueError(
                "An epoch must be the whole data: leave out `steps_per_epoch`, "
                f"or let the data repeat without end. Received: {steps} steps "
                f"an epoch of {count} batches"
            )

    def _check_first(self, found, saved):
        if found != saved:
            raise ValueError(
                "The data are not those of the checkpoint, or come in another "
                "order in every run: seed all that is random. Nothing was "
                "loaded."
            )


class _Seeking(_Source):
    """AddressableBatches: every position can be had at once."""

    @property
    def description(self):
        return {**super().description, **self.batches.description}

    def first(self):
        return self.batches[0]

    def check(self, steps, strategy):
        self._check_steps(steps, self.batches.batches_per_epoch)

    def begin(self, epoch, batch):
        self.batches.seek(epoch, batch)

    def unread(self, epoch, batch, steps):
        return 0


class _Indexed(_Source):
    """A PyDataset: a batch depends on its index and on the epoch's state.

    The state are the attributes that change between epochs, such as an order,
    and the global generators, by which `fit` itself shuffles.
    """

    def __init__(self, batches):
        super().__init__(batches)
        self.is_endless = batches.num_batches is None
        self.attributes = _attributes.Attributes(batches)

    def first(self):
        return self.batches[0]

    def check(self, steps, strategy):
        for name, value in vars(self.batches).items():
            if isinstance(value, collections.abc.Iterator):
                raise TypeError(
                    f"Batches must be addressed by their index: attribute "
                    f"{name!r} of {type(self.batches).__name__} is an iterator "
                    f"({type(value).__name__}), which has no position."
                )
        if not self.is_endless:
            self._check_steps(steps, self.batches.num_batches)
        if _mark(self.batches[0]) != _mark(self.batches[0]):
            raise ValueError(
                "Batches must depend on their index alone: batch 0 of "
                f"{type(self.batches).__name__} is another each time. Draw by "
                "np.random.default_rng([seed, epoch, index])."
            )

    def state(self, store):
        return {
            "attributes": self.attributes.changed(store),
            "random": _attributes.encode(random.getstate(), store),
            "numpy": _attributes.encode(np.random.get_state(), store),
            "first": _mark(self.batches[0]),
        }

    def restore(self, epoch, state, load):
        self.attributes.restore(state["attributes"], load)
        self._check_first(_mark(self.batches[0]), state["first"])
        random.setstate(_attributes.decode(state["random"], load))
        np.random.set_state(_attributes.decode(state["numpy"], load))


class _Pipeline(_Source):
    """A tf.data pipeline: the same iterations give the same batches.

    A shuffle gives every iteration its own order, by the count of iterations.
    """

    def first(self):
        return self.sample

    def _look(self):
        """Read the first batch of another iteration."""
        return next(iter(self.batches))

    def check(self, steps, strategy):
        count = int(self.batches.cardinality())
        self.is_endless = count == tf.data.INFINITE_CARDINALITY
        if strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "The order of a tf.data pipeline is not known under several "
                "replicas; AddressableBatches has one. Received: "
                f"{strategy.num_replicas_in_sync} replicas"
            )
        if self.batches.options().deterministic is False:
            raise ValueError(
                "A pipeline with options().deterministic = False has another "
                "order in every run. Received: deterministic=False"
            )
        if steps is None or count == tf.data.UNKNOWN_CARDINALITY:
            raise ValueError(
                "The number of batches must be known: give the dataset "
                "`.apply(tf.data.experimental.assert_cardinality(n))`."
            )
        if not self.is_endless:
            self._check_steps(steps, count)
        self.sample = self._look()
        self.mark = _mark(self.sample)
        self.is_reshuffled = self.mark != _mark(self._look())

    def state(self, store):
        look = self.is_reshuffled and not self.is_endless
        return {
            "first": self.mark,
            "epoch": _mark(self._look()) if look else None,
        }

    def restore(self, epoch, state, load):
        self._check_first(self.mark, state["first"])
        if state["epoch"] is not None:
            for _ in range(_ITERATIONS * epoch):
                iter(self.batches)
            self._check_first(_mark(self._look()), state["epoch"])


def _mark(batch):
    """Return the checksum of a batch."""
    total = 0
    for part in keras.tree.flatten(batch):
        if isinstance(part, (tf.RaggedTensor, tf.SparseTensor)):
            parts = tf.nest.flatten(part, expand_composites=True)
        else:
            parts = [part]
        for array in map(np.asarray, parts):
            data = str(array.tolist()).encode()
            if array.dtype != object:
                data = np.ascontiguousarray(array).tobytes()
            total = zlib.crc32(data, total)
    return total
