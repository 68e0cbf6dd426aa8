"""A table of measured latencies, which is a cost."""

import json
import math
from typing import Any

import keras
import numpy as np

from snas_keras import layers
from snas_keras._utils import files, fingerprint, sealed, statistics, tables
from snas_keras.costs import _machine, _operations

_FORMAT = "snas_keras.LatencyTable/2"
# Its keys named the modules of registered classes.
_FIRST_FORMAT = "snas_keras.LatencyTable/1"


@keras.saving.register_keras_serializable(package="snas_keras")
class LatencyTable:
    """A cost: the latency of a layer in milliseconds, as it was measured.

    `measure_latency` makes it. It is used as other costs are: in `Resource` (in
    the linear form, as the logarithmic one takes all below one for one),
    `ChildCost` and `space_report`. Inert layers and elementwise raw operations
    cost nothing.

    Args:
        entries: {key: {"layer": str, "milliseconds": float, "spread": float}},
            for each kind of layer its median and the distance of the quartiles.
            A key is what `fingerprint.layer_key` returns.
        machine: {str: str}, where it was measured, as `this_machine` gives it.
        batch_size: int, examples in a call.
        device: str, as for `measure_latency`, default None.
        scale: float, what a whole child takes of the sum of its layers, default
            1.0.
        held_out: {"predicted": list, "measured": list}, milliseconds of whole
            children, default None: none were timed.

    Call arguments:
        layer: Keras layer, built.
        input_shape: tuple with the batch dimension.

    Returns:
        float, milliseconds for one call with `batch_size` examples.

    Raises:
        TypeError: when called: the layer was not measured.

    Example:

    >>> layer, shape = keras.layers.Dense(2), (None, 3)
    >>> entry = {"layer": "dense", "milliseconds": 0.5, "spread": 0.1}
    >>> entries = {fingerprint.layer_key(layer, shape): entry}
    >>> table = LatencyTable(entries, _machine.this_machine(), batch_size=1)
    >>> table(keras.layers.Dense(2, name="other"), shape)
    0.5
    """

    # How logs call it.
    name = "latency"

    def __init__(
        self,
        entries: dict[str, dict[str, Any]],
        machine: dict[str, str],
        batch_size: int,
        device: str | None = None,
        scale: float = 1.0,
        held_out: dict[str, list[float]] | None = None,
    ):
        self.entries = entries
        self.machine = machine
        self.batch_size = batch_size
        self.device = device
        self.scale = scale
        self.held_out = held_out

    def __call__(self, layer: Any, input_shape: Any) -> float:
        if is_free(layer):
            return 0.0
        entry = self.entries.get(fingerprint.layer_key(layer, input_shape))
        if entry is None:
            raise TypeError(
                f"The latency of layer {layer.name!r} of type "
                f"{type(layer).__name__} on inputs of shape {input_shape} was "
                "not measured. Measure the network it is in: "
                "snas_keras.costs.measure_latency(supernet)."
            )
        return self.scale * entry["milliseconds"]

    @property
    def correlation(self) -> float:
        """Return the rank correlation on the held-out children."""
        held_out = self.held_out or {"predicted": [], "measured": []}
        return statistics.rank_correlation(**held_out)

    @property
    def error(self) -> float:
        """Return the mean of |predicted / measured - 1| on the same."""
        return float(np.mean(self._errors()))

    def _errors(self):
        held_out = self.held_out or {"predicted": [math.nan], "measured": [1.0]}
        ratio = np.divide(held_out["predicted"], held_out["measured"])
        return np.abs(ratio - 1.0)

    def report(self) -> str:
        """Return what was measured as tables in Markdown."""
        machine = ", ".join(f"{k}: {v}" for k, v in self.machine.items())
        rows = [
            (x["layer"], f"{x['milliseconds']:.4f}", f"{x['spread']:.4f}")
            for x in self.entries.values()
        ]
        head = ("layer", "median", "between the quartiles")
        return tables.document(
            [
                f"Milliseconds for a batch of {self.batch_size} ({machine}). "
                "The scale, by which each counts, is "
                f"{self.scale:.3f}.",
                tables.Table(head, rows),
                *self._held_out_report(),
            ]
        )

    def _held_out_report(self):
        if not self.held_out:
            return []
        rows = [
            (f"{one:.3f}", f"{other:.3f}")
            for one, other in zip(*self.held_out.values(), strict=True)
        ]
        return [
            tables.Table(("whole child, predicted", "measured"), rows),
            f"Rank correlation {self.correlation:.3f}. Error: mean "
            f"{self.error:.1%}, median {np.median(self._errors()):.1%}.",
        ]

    def save(self, path: Any) -> None:
        """Write the table as JSON; a file at `path` is replaced atomically.

        Args:
            path: str or path.
        """
        content = self.get_config()
        text = json.dumps(
            {
                "format": _FORMAT,
                "sum": sealed.checksum(content),
                "table": content,
            }
        )
        with files.replacing(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Any, elsewhere: bool = False) -> "LatencyTable":
        """Read a table that `save` wrote.

        Args:
            path: str or path.
            elsewhere: bool, whether it may be a table of another machine, for
                which a search is done here. Default False.

        Returns:
            LatencyTable.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no table or a damaged one, or one of another
                machine; the message says what differs.
        """
        table = cls(**_read(path))
        now = _machine.this_machine(table.device)
        differences = [
            f"{name} was {table.machine.get(name)!r} and is {now.get(name)!r}"
            for name in {**now, **table.machine}
            if table.machine.get(name) != now.get(name)
        ]
        if differences and not elsewhere:
            raise ValueError(
                f"{str(path)!r} was measured elsewhere: "
                f"{'; '.join(differences)}. Measure again, or give "
                "`elsewhere=True` to search here for that machine."
            )
        return table

    def get_config(self) -> dict[str, Any]:
        return {
            "entries": self.entries,
            "machine": self.machine,
            "batch_size": self.batch_size,
            "device": self.device,
            "scale": self.scale,
            "held_out": self.held_out,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LatencyTable":
        return cls(**config)


def is_free(layer: Any) -> bool:
    """Say whether a layer or a raw operation takes no time outside training.

    Args:
        layer: Keras layer or raw operation.

    Returns:
        bool; of raw operations it is true of those that are elementwise.
    """
    if not isinstance(layer, keras.layers.Layer):
        return type(layer).__name__ in _operations.FREE
    return layers.is_inert(layer)


def _read(path):
    path = files.existing(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = sealed.loads(text)
        is_table = content["format"] in (_FORMAT, _FIRST_FORMAT)
        is_whole = (
            is_table and sealed.checksum(content["table"]) == content["sum"]
        )
    except (ValueError, TypeError, KeyError):
        is_whole = False
    if not is_whole:
        raise ValueError(
            f"{str(path)!r} is no latency table, or a damaged one. Write it "
            "with `LatencyTable.save`."
        )
    table = content["table"]
    if content["format"] == _FIRST_FORMAT:
        table["entries"] = {
            fingerprint.without_modules(key): entry
            for key, entry in table["entries"].items()
        }
    return table
