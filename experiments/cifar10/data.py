"""CIFAR-10 through TensorFlow Datasets, split and augmented as in the paper.

    python experiments/cifar10/data.py --data-dir FOLDER

Run by itself it measures the input pipeline alone. The images stay in memory as
bytes; a batch is augmented when it is asked for, and batch i of epoch e is the
same in every run of one seed.
"""

import argparse
import os
import time

import numpy as np

import snas_keras

# Of the training images, by channel: the constants of the paper's code.
MEAN = np.array([0.49139968, 0.48215827, 0.44653124], "float32")
DEVIATION = np.array([0.24703233, 0.24348505, 0.26158768], "float32")
PREPARE = (
    "Prepare it once on a machine with a network: --download, or\n"
    "  python -c \"import tensorflow_datasets as tfds; tfds.load('cifar10', "
    "data_dir='FOLDER')\""
)


def load(split, data_dir=None, download=False):
    """Read one split of CIFAR-10.

    Args:
        split: str, "train" or "test".
        data_dir: str, the folder of TensorFlow Datasets, default its own, which
            the environment variable TFDS_DATA_DIR sets.
        download: bool, whether to fetch and prepare what is missing, default
            False: nothing is fetched unasked.

    Returns:
        (images, labels): uint8, shape (examples, 32, 32, 3), and int64, shape
        (examples,).

    Raises:
        ModuleNotFoundError: TensorFlow Datasets is not installed.
        FileNotFoundError: the data set is not prepared in the folder.
    """
    tfds = _tensorflow_datasets()
    looked_in = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
    try:
        builder = tfds.builder("cifar10", data_dir=looked_in)
        if download:
            builder.download_and_prepare()
        batch = builder.as_dataset(split, batch_size=-1)
    except (AssertionError, tfds.core.DatasetNotFoundError) as error:
        raise FileNotFoundError(
            "CIFAR-10 is not prepared for TensorFlow Datasets in "
            f"{looked_in!r} (the flag --data-dir or the environment variable "
            f"TFDS_DATA_DIR names the folder). {PREPARE}"
        ) from error
    return batch["image"].numpy(), batch["label"].numpy()


def _tensorflow_datasets():
    try:
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "This example reads CIFAR-10 through TensorFlow Datasets. Install "
            "the extra: pip install 'snas-keras[data]'"
        ) from error
    return tensorflow_datasets


def split(x, y, validation, seed=0, training=None):
    """Split the training images into search-train and search-validation.

    Args:
        x: array, shape (examples, ...).
        y: array, shape (examples,).
        validation: int, how many examples to hold out of the training.
        seed: int, of the order before the split, default 0.
        training: int, how many to train on, default all others.

    Returns:
        ((x, y) for training, (x, y) for validation).

    Raises:
        ValueError: there are not so many examples.
    """
    training = len(x) - validation if training is None else training
    if training < 1 or validation < 0 or training + validation > len(x):
        raise ValueError(
            "There must be examples to train on, and no more held out than "
            f"there are. Received: training={training}, "
            f"validation={validation} of {len(x)}"
        )
    order = np.random.default_rng(seed).permutation(len(x))
    held_out, rest = order[:validation], order[validation:][:training]
    return (x[rest], y[rest]), (x[held_out], y[held_out])


def normalize(x):
    """Scale images of bytes to mean 0 and deviation 1 of each channel."""
    return (x.astype("float32") / 255.0 - MEAN) / DEVIATION


def augmentation(padding=4, cutout=0):
    """Make the paper's augmentation of one batch.

    Black padding and a random crop, a random flip, normalization, then cutout:
    a square of zeros, the mean colour, whose centre is anywhere in the image.

    Args:
        padding: int, pixels on each side, default 4.
        cutout: int, side of the square, default 0: none, as in the paper's
            search; 16 in its retraining.

    Returns:
        Function (x, generator) -> x: images of bytes to float32.
    """

    def augment(x, generator):
        x = _flip(_crop(x, padding, generator), generator)
        return _cut_out(normalize(x), cutout, generator)

    return augment


def _crop(x, padding, generator):
    examples, height, width, _ = x.shape
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(x, sides)
    top, left = generator.integers(0, 2 * padding + 1, (2, examples))
    rows = top[:, None, None] + np.arange(height)[:, None]
    columns = left[:, None, None] + np.arange(width)
    return padded[np.arange(examples)[:, None, None], rows, columns]


def _flip(x, generator):
    is_flipped = generator.random(len(x)) < 0.5
    return np.where(is_flipped[:, None, None, None], x[:, :, ::-1], x)


def _cut_out(x, side, generator):
    if not side:
        return x
    examples, height, width, _ = x.shape
    top = generator.integers(0, height, examples) - side // 2
    left = generator.integers(0, width, examples) - side // 2
    in_rows = _between(np.arange(height), top, side)
    in_columns = _between(np.arange(width), left, side)
    is_cut = in_rows[:, :, None] & in_columns[:, None, :]
    return np.where(is_cut[..., None], np.float32(0.0), x)


def _between(positions, start, length):
    start = start[:, None]
    return (positions >= start) & (positions < start + length)


def batches(x, y, batch_size, seed=0, cutout=0):
    """Make the augmented training batches, addressable by epoch and index."""
    return snas_keras.AddressableBatches(
        x, y, batch_size, seed=seed, augment=augmentation(cutout=cutout)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cutout", type=int, default=16)
    args = parser.parse_args()
    start = time.perf_counter()
    x, y = load("train", args.data_dir, args.download)
    print(f"{len(x)} images in {time.perf_counter() - start:.1f} s")
    served = batches(x, y, args.batch, cutout=args.cutout)
    start = time.perf_counter()
    for step in range(200):
        served.batch(*divmod(step, len(served)))
    taken = time.perf_counter() - start
    print(
        f"{200 / taken:.0f} batches of {args.batch} a second, "
        f"{200 * args.batch / taken:.0f} images a second"
    )


if __name__ == "__main__":
    main()
