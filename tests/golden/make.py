"""Make the golden files of this version. Read README.md before you run it.

python -m tests.golden.make FOLDER
"""

import pathlib
import shutil
import sys

import numpy as np

import snas_keras
from tests.golden import space


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    supernet = space.compiled_supernet()
    space.fit(supernet, folder, epochs=1)
    shutil.copy(folder / "checkpoint.npz", folder / "kept.npz")
    supernet.save(folder / "supernet.keras")
    supernet.derive().save(folder / "genotype.json")
    table = snas_keras.measure_latency(
        supernet, repeats=3, held_out=2, verbose=0
    )
    table.save(folder / "latency.json")
    x, _ = space.data()
    expected = {"outputs": supernet.predict(x, verbose=0)}
    # What the search comes to when it goes on from the checkpoint.
    (folder / "search.jsonl").rename(folder / "kept.jsonl")
    space.fit(supernet, folder, epochs=space.EPOCHS)
    for name, logits in supernet.architecture.logits.items():
        expected[f"logits {name}"] = logits.numpy()
    np.savez(folder / "expected.npz", **expected)
    (folder / "kept.jsonl").replace(folder / "search.jsonl")
    (folder / "kept.npz").replace(folder / "checkpoint.npz")


if __name__ == "__main__":
    main(sys.argv[1])
