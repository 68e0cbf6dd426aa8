"""A callback that warns when a search goes wrong, with the remedy."""

import dataclasses
import os
import pathlib
import warnings
from typing import Any

import keras

from snas_keras import supernet as supernet_lib
from snas_keras._utils import checks, files
from snas_keras.reports import (
    _health_checks,
    _health_facts,
    _json,
    _read,
    _records,
    _snapshot,
)

WARNINGS = "warnings.jsonl"


class HealthGuard(keras.callbacks.Callback):
    """Warn when a search goes wrong, and say what to do.

    After every epoch it runs the checks of `reports.HEALTH_CHECKS`:

    * `divergence`: a loss, a metric or logits that are not finite;
    * `skip_dominance`: skips, or `none`, dominate four of five choices;
    * `dead_node`: the likeliest edges of a node are all `none`;
    * `stalled`: probabilities have not moved for `patience` epochs while more
      than half of the entropy is left;
    * `constraint_drift`: a cost is above its limit and has gone away from it
      twice in `patience` epochs;
    * `bimodal_cost`: for `patience` epochs a child has used less than half of
      its limit, while the mean over children is more than twice as expensive;
    * `undertrained_candidates`: candidates with weights have had less than a
      tenth of an even share of the training.

    Each is said once, as a `snas_keras.SearchWarning`. The search goes on, also
    where a check fails.

    Args:
        run_directory: path of a folder where `search_report` shall find the
            warnings, default None: they are not written.
        patience: int, epochs, default 5.

    Raises:
        ValueError: `patience` is not a positive int.
        TypeError: at the start of `fit`: the model is no SuperNet.

    Example:

    >>> callback = HealthGuard(patience=10)
    """

    def __init__(
        self,
        run_directory: str | os.PathLike | None = None,
        patience: int = 5,
    ):
        super().__init__()
        self.path = (
            None
            if run_directory is None
            else pathlib.Path(run_directory) / WARNINGS
        )
        self.patience = checks.positive_int("patience", patience)
        self.found: list[dict] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.snapshot = _snapshot.Snapshot(self.model)
        self.facts = _health_facts.facts_of(self.model)
        self.epochs: list[_records.Epoch] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.epochs is None:
            self.epochs = []
            self.found = [w for w in self._written() if w["epoch"] < epoch]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(self.snapshot.epoch(epoch, logs))
        said = {(entry["check"], entry["subject"]) for entry in self.found}
        for name, check in _health_checks.HEALTH_CHECKS.items():
            for subject, message in self._findings(name, check):
                if (name, subject) not in said:
                    said.add((name, subject))
                    self._say(Finding(epoch, message, name, subject))

    def _findings(self, name, check):
        try:
            return list(check(self.facts, self.epochs, self.patience))
        except Exception as error:  # a side matter: the search goes on
            return [("failed", f"The health check {name!r} failed: {error!r}")]

    def _say(self, finding):
        warnings.warn(finding.message, supernet_lib.SearchWarning, stacklevel=2)
        self.found.append(dataclasses.asdict(finding))
        if self.path:
            with files.replacing(self.path) as temporary:
                text = "".join(f"{_json.dumps_sealed(w)}\n" for w in self.found)
                temporary.write_text(text, encoding="utf-8")

    def _written(self):
        if not self.path or not self.path.exists():
            return []
        try:
            found = _read.read_lines(self.path, Finding.from_json)
        except ValueError as error:
            message = f"The warnings of before are not kept: {error}"
            warnings.warn(message, supernet_lib.SearchWarning, stacklevel=2)
            return []
        return [dataclasses.asdict(finding) for finding in found]


# Names of the first release.
_RENAMED = {
    "taken_over": "skip_dominance",
    "lost_nodes": "dead_node",
    "stuck": "stalled",
    "drifting": "constraint_drift",
    "torn": "bimodal_cost",
    "hardly_trained": "undertrained_candidates",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a health check has found: a line of `warnings.jsonl`.

    Args:
        epoch: int, from 0.
        message: str, what is wrong, and the remedy.
        check: str, name of the check, default none.
        subject: str, what it is about, default none.
    """

    epoch: int
    message: str
    check: str = ""
    subject: str = ""

    @classmethod
    def from_json(cls, content: Any) -> "Finding":
        """Read a line of `warnings.jsonl`, or raise ValueError."""
        readers = {
            "epoch": _json.integer,
            "message": _json.text,
            "check": _json.text,
            "subject": _json.text,
        }
        read = _json.fields(content, readers, check="", subject="")
        read["check"] = _RENAMED.get(read["check"], read["check"])
        return cls(**read)
