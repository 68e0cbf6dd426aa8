"""What the search and the retraining share: flags, rates, logs, checkpoints."""

import argparse
import csv
import importlib.util
import json
import math
import pathlib

import keras

import snas_keras
from snas_keras._utils import files

LOSS = {"from_logits": True}


def parser(description, presets):
    """Make a parser with `--preset` and the flags that both programs have."""
    made = argparse.ArgumentParser(
        description=description.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--preset", choices=presets, default="small")
    made.add_argument("--data-dir", help="of TensorFlow Datasets")
    made.add_argument("--download", action="store_true")
    made.add_argument("--output", type=pathlib.Path)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--checkpoint-steps", type=int, default=200, help="between two saves"
    )
    made.add_argument("--dtype-policy", default="float32")
    return made


def parse(made, presets):
    """Parse the flags; those of the preset that are not given are its own."""
    args = made.parse_args()
    made.set_defaults(**presets[args.preset])
    return made.parse_args()


@keras.saving.register_keras_serializable(package="snas_keras_examples")
class CosineByEpoch(keras.optimizers.schedules.LearningRateSchedule):
    """Lower the learning rate once an epoch along half a cosine.

        rate(e) = final + (initial - final) (1 + cos(pi e / epochs)) / 2

    As in the paper's code the last epoch runs above `final`. The epoch is read
    from the optimizer's own step counter, so a resumed run goes on with it.

    Args:
        initial: float, rate of the first epoch.
        final: float.
        epochs: int.
        steps_per_epoch: int.
    """

    def __init__(self, initial, final, epochs, steps_per_epoch):
        self.initial = initial
        self.final = final
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step):
        epoch = keras.ops.floor_divide(step, self.steps_per_epoch)
        share = keras.ops.cast(epoch, "float32") / self.epochs
        half = 0.5 * (1.0 + keras.ops.cos(math.pi * share))
        return self.final + (self.initial - self.final) * half

    def get_config(self):
        return dict(vars(self))


class CsvHistory(keras.callbacks.Callback):
    """Write the whole history as CSV after every epoch.

    The history comes back with `SearchCheckpoint`, so a resumed run has each
    epoch exactly once.

    Args:
        path: path of the file.
    """

    def __init__(self, path):
        super().__init__()
        self.path = pathlib.Path(path)

    def on_epoch_end(self, epoch, logs=None):
        history = self.model.history.history
        rows = [
            {"epoch": index, **{k: v[index] for k, v in history.items()}}
            for index in range(epoch)
        ]
        rows.append({"epoch": epoch, **logs})
        with files.replacing(self.path) as temporary:
            with open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[-1]))
                writer.writeheader()
                writer.writerows(rows)


class BestModel(keras.callbacks.Callback):
    """Keep the model of the best epoch as a Keras file.

    What was best is read from the history, which a resumed run still has.

    Args:
        path: path of the file, ending in ".keras".
        metric: str, the larger the better.
    """

    def __init__(self, path, metric="val_accuracy"):
        super().__init__()
        self.path = pathlib.Path(path)
        self.metric = metric

    def on_train_begin(self, logs=None):
        files.remove_leftovers(self.path)

    def on_epoch_end(self, epoch, logs=None):
        before = self.model.history.history.get(self.metric, [])[:epoch]
        if logs[self.metric] > max(before, default=-math.inf):
            with files.replacing(self.path) as temporary:
                self.model.save(temporary)


def callbacks(args, batches, name, metric="val_accuracy"):
    """Return the callbacks that log, save and resume.

    The checkpoint is the last: a kill between two callbacks repeats the
    epoch's end rather than losing it. Without images held out (`metric` None)
    there is no best epoch.
    """
    found = [CsvHistory(args.output / f"{name}.csv")]
    if metric:
        best = args.output / f"{name}_best.keras"
        found.append(BestModel(best, metric))
    if importlib.util.find_spec("tensorboard"):
        folder = args.output / "tensorboard"
        found.append(keras.callbacks.TensorBoard(folder))
    checkpoint = snas_keras.SearchCheckpoint(
        args.output / f"{name}.npz", batches, args.checkpoint_steps
    )
    return [*found, checkpoint]


def add_flags(made, numbers):
    """Add a flag for each {name: (default, help)}; a default None is an int."""
    for name, (default, text) in numbers.items():
        made.add_argument(
            f"--{name.replace('_', '-')}",
            type=float if isinstance(default, float) else int,
            default=default,
            help=text,
        )


def write_json(path, content):
    """Write a JSON file in one piece."""
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(**LOSS)
