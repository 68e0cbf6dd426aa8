"""The records of a search: what is searched, and what each epoch decided."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from snas_keras.reports import _json

_NUMBERS = _json.list_of(_json.number)
_OWN_MEANS = ("task_loss", "architecture_entropy", "resource_loss")
_OF_COST = ("expected", "child", "weight")


@dataclasses.dataclass(frozen=True)
class CandidateCredit:
    """The credit of one choice, as `supernet.credit.values()` has it.

    Args:
        credit: list of float, one a candidate: change of the task loss by a
            little more of it.
        task: list of float, the task loss's gradient by each logit.
        resource: list of float, the penalties' gradient by each logit.
        signal_to_noise: list of float, |mean| / deviation of the credit.
        exposure: list of float, each candidate's share of all weights drawn.
        edge: float, the credit of the choice as a whole.
    """

    credit: list[float]
    task: list[float]
    resource: list[float]
    signal_to_noise: list[float]
    exposure: list[float]
    edge: float

    @classmethod
    def from_json(cls, content: Any) -> "CandidateCredit":
        """Read what `dataclasses.asdict` gave, or raise ValueError."""
        readers = dict.fromkeys(
            (field.name for field in dataclasses.fields(cls)), _NUMBERS
        )
        readers["edge"] = _json.number
        return cls(**_json.fields(content, readers))


@dataclasses.dataclass(frozen=True)
class CostState:
    """What one cost is after an epoch, in its unit.

    Args:
        expected: float, the mean over the distribution of children.
        child: float, of the child that `derive` names.
        weight: float, of its penalty; None where it is only followed.
    """

    expected: float
    child: float
    weight: float | None

    @classmethod
    def from_json(cls, content: Any) -> "CostState":
        """Read what `dataclasses.asdict` gave, or raise ValueError."""
        readers = {
            "expected": _json.number,
            "child": _json.number,
            "weight": _json.number_or_none,
        }
        return cls(**_json.fields(content, readers, weight=None))


@dataclasses.dataclass(frozen=True)
class CostBounds:
    """What the children of a space cost, and may cost.

    Args:
        minimum: float, of the cheapest child.
        maximum: float, of the most expensive child.
        limit: float, default None: there is none.
    """

    minimum: float
    maximum: float
    limit: float | None = None

    @classmethod
    def from_json(cls, content: Any) -> "CostBounds":
        """Read what `dataclasses.asdict` gave, or raise ValueError."""
        readers = {
            "minimum": _json.number,
            "maximum": _json.number,
            "limit": _json.number_or_none,
        }
        return cls(**_json.fields(content, readers, limit=None))


@dataclasses.dataclass(frozen=True)
class Search:
    """What does not change during a search: the content of `search.json`.

    Args:
        name: str, of the network.
        choices: {choice name: candidate names}.
        costs: {cost name: CostBounds}.
        versions: {package: version}.
        directions: {metric: "max" or "min"}, as far as Keras knows them.
    """

    name: str
    choices: dict[str, list[str]]
    costs: dict[str, CostBounds]
    versions: dict[str, str]
    directions: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def children(self) -> int:
        """Return the number of children in the space."""
        return math.prod(len(c) for c in self.choices.values())

    def own_metrics(self, names: Sequence[str]) -> list[str]:
        """Return the metrics that the user compiled, without the loss.

        Args:
            names: sequence of str, names in the logs of an epoch.

        Returns:
            list of str in the same order, without "val_".
        """
        of_search = {f"{label}_{c}" for label in _OF_COST for c in self.costs}
        of_search |= {"loss", *_OWN_MEANS}
        plain = dict.fromkeys(name.removeprefix("val_") for name in names)
        return [name for name in plain if name not in of_search]

    def to_json(self) -> dict:
        """Return what JSON can hold."""
        content = dataclasses.asdict(self)
        # Python writes no integer of more than 4,300 digits.
        is_short = self.children < 10**300
        return {**content, "children": self.children if is_short else None}

    @classmethod
    def from_json(cls, content: Any) -> "Search":
        """Read what `to_json` gave.

        Args:
            content: what JSON held.

        Returns:
            Search.

        Raises:
            ValueError: it is not of a search; the message names the key.
        """
        texts = _json.dict_of(_json.text)
        readers = {
            "name": _json.text,
            "choices": _json.dict_of(_json.list_of(_json.text)),
            "costs": _json.dict_of(CostBounds.from_json),
            "versions": texts,
            "directions": texts,
        }
        search = cls(**_json.fields(content, readers, directions={}))
        if not search.choices or not all(search.choices.values()):
            raise ValueError(
                "'choices' must each have a candidate. Received: "
                f"{search.choices}"
            )
        return search


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What a search has decided after one epoch: a line of `search.jsonl`.

    Numbers that are not finite are null in JSON, and NaN when it is read.

    Args:
        epoch: int, from 0.
        seconds: float, that it took.
        logs: {metric: number, or what else the metric gives}, in the order in
            which they were compiled.
        temperature: float.
        probabilities: {choice name: list of float, one a candidate}.
        entropy: {choice name: float, nats}.
        margin: {choice name: float, probability of the first candidate less
            that of the second}.
        credit: {choice name: CandidateCredit}.
        costs: {cost name: CostState}.
        genotype: {choice name: candidate name}, None where the logits are not
            finite, so that nothing can be derived.
        steps: int, training steps so far, default None: not known.
    """

    epoch: int
    seconds: float
    logs: dict[str, Any]
    temperature: float
    probabilities: dict[str, list[float]]
    entropy: dict[str, float]
    margin: dict[str, float]
    credit: dict[str, CandidateCredit]
    costs: dict[str, CostState]
    genotype: dict[str, str] | None
    steps: int | None = None

    def scalars(self) -> dict[str, float]:
        """Return the logs as single numbers, NaN for what is none.

        A metric of several values has an entry for each, "name/part".
        """
        return dict(_flattened(self.logs))

    def to_json(self) -> dict:
        """Return what JSON can hold."""
        return _json.plain(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, content: Any) -> "Epoch":
        """Read what `to_json` gave.

        Args:
            content: what JSON held.

        Returns:
            Epoch.

        Raises:
            ValueError: it is not of a search log; the message names the key.
        """
        numbers = _json.dict_of(_json.number)
        readers = {
            "epoch": _json.integer,
            "seconds": _json.number,
            "logs": _json.mapping,
            "temperature": _json.number,
            "probabilities": _json.dict_of(_NUMBERS),
            "entropy": numbers,
            "margin": numbers,
            "credit": _json.dict_of(CandidateCredit.from_json),
            "costs": _json.dict_of(CostState.from_json),
            "genotype": _json.optional(_json.dict_of(_json.text)),
            "steps": _json.optional(_json.integer),
        }
        return cls(**_json.fields(content, readers, steps=None))

    def check(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Raise ValueError unless this epoch is of a search of these choices.

        Args:
            choices: {choice name: candidate names}.
        """
        for key in ("probabilities", "entropy", "margin", "credit", "genotype"):
            names = getattr(self, key)
            if names is not None and set(names) != set(choices):
                raise ValueError(
                    f"the choices of its {key} are {sorted(names)}, there they "
                    f"are {sorted(choices)}."
                )
        for name, candidates in choices.items():
            self._check_choice(name, candidates)

    def _check_choice(self, name, candidates):
        found = dataclasses.asdict(self.credit[name])
        del found["edge"]
        found["probabilities"] = self.probabilities[name]
        for key, values in found.items():
            if len(values) != len(candidates):
                raise ValueError(
                    f"the {key} of choice {name!r} has {len(values)} entries, "
                    f"there its candidates are {candidates}."
                )
        if self.genotype and self.genotype[name] not in candidates:
            raise ValueError(
                f"choice {name!r} takes {self.genotype[name]!r}, there its "
                f"candidates are {candidates}."
            )


def not_finite(epoch: Epoch) -> list[str]:
    """Name what is not a finite number after an epoch.

    Args:
        epoch: Epoch.

    Returns:
        list of str: metrics, and the choices whose logits are not finite.
    """
    metrics = [n for n, v in epoch.scalars().items() if not math.isfinite(v)]
    choices = [
        f"logits of {name!r}"
        for name, p in epoch.probabilities.items()
        if not all(map(math.isfinite, p))
    ]
    return metrics + choices


def _flattened(logs, before=""):
    pairs = logs.items() if isinstance(logs, dict) else enumerate(logs)
    for key, value in pairs:
        if isinstance(value, dict | list):
            yield from _flattened(value, f"{before}{key}/")
        elif value is None or isinstance(value, bool | int | float):
            value = float(value) if isinstance(value, bool) else value
            yield f"{before}{key}", _json.number(value)
