"""A search that may be told to kill itself: python resumable_search.py OUT
[KILL_AT_STEP].

Writes OUT/result.npz at its end: all variables, the history and the log.
"""

import json
import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import snas_keras
from tests import conftest


@snas_keras.search_space
def space(choose):
    """Batch norm, dropout and an augmentation: all that could go astray."""
    x = inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(4, 1)(x)
    for block in range(2):
        x = choose(f"block_{block}", conftest.tiny_candidates(4))(x)
        x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, keras.layers.Dense(3)(x)


class KillAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(output, kill_at):
    output = pathlib.Path(output)
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 40)
    x = generator.normal(size=(40, 4, 4, 2)) + y[:, None, None, None]
    batches = snas_keras.AddressableBatches(
        x.astype("float32"),
        y,
        batch_size=8,
        seed=5,
        augment=lambda a, random: a + 0.1 * random.normal(size=a.shape),
    )
    supernet = conftest.compiled(
        space(),
        optimizer=keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(0.1, 30), momentum=0.9
        ),
        metrics=["accuracy"],
        resource=snas_keras.Resource("parameters", 0.1),
    )
    callbacks = [
        snas_keras.TemperatureSchedule(),
        snas_keras.SearchLogger(output, tensorboard=False),
        snas_keras.SearchCheckpoint(output / "search.npz", batches, every=2),
    ]
    if kill_at:
        callbacks.append(KillAt(kill_at))
    history = supernet.fit(
        batches, epochs=6, verbose=0, callbacks=callbacks
    ).history
    variables = [*supernet.variables, *supernet.optimizer.variables]
    arrays = {f"v{i}": np.array(v) for i, v in enumerate(variables)}
    arrays["history"] = np.array(json.dumps(history))
    log = (output / "search.jsonl").read_text().splitlines()
    # No two runs take the same time, over which the checksum is too.
    varying = {"seconds", "checksum"}
    lines = [
        {k: v for k, v in json.loads(line).items() if k not in varying}
        for line in log
    ]
    arrays["log"] = np.array(json.dumps(lines))
    np.savez(output / "result.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
