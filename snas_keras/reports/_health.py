"""A callback that warns when a search goes wrong, with the remedy."""

import dataclasses
import json
import math
import pathlib
import warnings

import keras
import numpy as np

from snas_keras import layers
from snas_keras._utils import checks, files
from snas_keras.reports import _snapshot

WARNINGS = "warnings.jsonl"
# Shares of all choices, of a limit, or of an even exposure.
_TAKEN_OVER = 0.8
_UNDECIDED = 0.5
_MOVED = 0.005
_DRIFT = 0.05
_UNUSED = 0.5
_EXPOSURE = 0.1
# The probability from which a candidate is clearly taken, of few.
_CLEAR = 0.75


class SearchWarning(UserWarning):
    """A search is likely to end badly."""


class HealthGuard(keras.callbacks.Callback):
    """Warn when a search goes wrong, and say what to do.

    After every epoch it looks for

    * skips, or `none`, that have taken over four of five choices;
    * a node whose likeliest edges are all `none`;
    * probabilities that have not moved for `patience` epochs while more than
      half of the entropy is left;
    * a cost that is above its limit and has gone away from it twice in
      `patience` epochs;
    * a child that for `patience` epochs has used less than half of its limit,
      while the mean over children is more than twice as dear;
    * candidates with weights that have had less than a tenth of an even share
      of the training.

    Each is said once, as a `snas_keras.health.SearchWarning`. The search goes
    on.

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

    def __init__(self, run_directory=None, patience=5):
        super().__init__()
        self.path = run_directory and pathlib.Path(run_directory) / WARNINGS
        self.patience = checks.positive_int("patience", patience)
        self.found = []

    def on_train_begin(self, logs=None):
        self.watch = _snapshot.Watch(self.model)
        self.facts = facts_of(self.model)
        self.lines = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.lines is None:
            self.lines = []
            self.found = [w for w in self._written() if w["epoch"] < epoch]

    def on_epoch_end(self, epoch, logs=None):
        steps = int(self.model.step)
        self.lines.append({**self.watch.line(), "steps": steps})
        said = {(entry["check"], entry["subject"]) for entry in self.found}
        for check in CHECKS:
            for subject, message in check(
                self.facts, self.lines, self.patience
            ):
                if (check.__name__, subject) not in said:
                    self._say(epoch, check.__name__, subject, message)

    def _say(self, epoch, check, subject, message):
        warnings.warn(message, SearchWarning, stacklevel=2)
        self.found.append(
            {
                "epoch": epoch,
                "check": check,
                "subject": subject,
                "message": message,
            }
        )
        if self.path:
            with files.replacing(self.path) as temporary:
                temporary.write_text(
                    "".join(f"{json.dumps(w)}\n" for w in self.found)
                )

    def _written(self):
        if not self.path or not self.path.exists():
            return []
        return [json.loads(x) for x in self.path.read_text().splitlines()]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the checks need to know of a supernet.

    Args:
        choices: {choice name: candidate names}.
        skips: {choice name: names of candidates that do nothing}.
        nones: {choice name: names of candidates that give zero}.
        trained: {choice name: names of candidates that have weights}.
        nodes: {node name: names of the choices of its edges}.
        limits: {cost name: limit}.
    """

    choices: dict
    skips: dict
    nones: dict
    trained: dict
    nodes: dict
    limits: dict


def facts_of(supernet):
    """Read `Facts` off a SuperNet."""
    edges = layers.mixed_edges(supernet.network)
    by_choice = {edge.choice: edge.candidates for edge in edges}
    return Facts(
        choices=supernet.architecture.choices,
        skips=_of_role(by_choice, keras.layers.Identity, "skip"),
        nones=_of_role(by_choice, layers.Zero, "none"),
        trained={
            choice: [n for n, x in candidates.items() if x.trainable_variables]
            for choice, candidates in by_choice.items()
        },
        nodes=_nodes(supernet.network, edges),
        limits={x.resource.name: x.value for x in supernet.limits},
    )


def _of_role(by_choice, kind, word):
    return {
        choice: [
            name
            for name, layer in candidates.items()
            if isinstance(layer, kind) or word in name.lower()
        ]
        for choice, candidates in by_choice.items()
    }


def _nodes(network, edges):
    """Find the sums that only mixed edges flow into."""
    choice_of = {id(edge.output): edge.choice for edge in edges}
    nodes = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.Add):
            sources = [choice_of.get(id(x)) for x in layer.input]
            if None not in sources:
                nodes[layer.name] = sources
    return nodes


def taken_over(facts, lines, patience):
    """Skips, or `none`, are the likeliest nearly everywhere."""
    del patience
    line = lines[-1]
    remedies = {
        "skips": "Skips train nothing and win early: raise the learning rate "
        "of the weights or lower that of the logits, or let the weights train "
        "for some epochs before the logits move.",
        "none": "`none` wins where the task's credit is positive, as on held-"
        "out data or with a dear penalty: train on the search's own data, "
        "lower the resource's weight, or leave `none` out of the space.",
    }
    for label, roles in (("skips", facts.skips), ("none", facts.nones)):
        offered = [name for name, found in roles.items() if found]
        taken = [n for n in offered if _takes(facts, line, n, roles[n])]
        if len(offered) > 1 and len(taken) >= _TAKEN_OVER * len(offered):
            yield (
                label,
                f"{label} took over nearly all choices. {remedies[label]}",
            )


def lost_nodes(facts, lines, patience):
    """A node whose edges are all `none` gives zero to all behind it."""
    del patience
    for node, edges in facts.nodes.items():
        if all(_takes(facts, lines[-1], e, facts.nones[e]) for e in edges):
            yield (
                node,
                f"The node {node!r} has lost its last live edge: the "
                f"likeliest candidate of {_listed(sorted(set(edges)))} is "
                "`none`. Lower the resource's weight, or leave `none` out of "
                "one of them.",
            )


def stuck(facts, lines, patience):
    """The probabilities stand still, far from a decision."""
    if len(lines) <= patience:
        return
    now, before = lines[-1], lines[-1 - patience]
    names = _open_choices(facts)
    moved = [
        np.abs(np.subtract(now["probabilities"][n], before["probabilities"][n]))
        for n in names
    ]
    if names and np.mean([m.sum() / 2 for m in moved]) < _MOVED:
        if _entropy_left(facts, now) > _UNDECIDED:
            yield (
                "",
                "The search has hardly moved for some epochs, and most of its "
                "entropy is left. Raise the learning rate of the logits "
                "(`architecture_optimizer`), or search for more epochs.",
            )


def drifting(facts, lines, patience):
    """A cost goes away from its limit, and the rising weight does not help."""
    if len(lines) <= 2 * patience:
        return
    for name, limit in facts.limits.items():
        first, second, last = (
            line["costs"][name]["expected"] / limit - 1.0
            for line in (lines[-1 - 2 * patience :: patience])
        )
        if last > _DRIFT and last > second > first:
            yield (
                name,
                f"The cost {name!r} is above its limit and goes away from it. "
                "Raise `rate` or the first `weight` of its Resource, or the "
                "learning rate of the logits.",
            )


def torn(facts, lines, patience):
    """The mean over children comes near a limit, the child does not."""
    recent = lines[-patience:]
    if len(recent) < patience:
        return
    for name, limit in facts.limits.items():
        costs = [line["costs"][name] for line in recent]
        is_unused = all(
            c["child"] < _UNUSED * limit
            and c["child"] < _UNUSED * c["expected"]
            for c in costs
        )
        # Early, while nothing is decided, that is no sign.
        if is_unused and _entropy_left(facts, recent[0]) < _UNDECIDED:
            margins = recent[-1]["margin"]
            closest = min(_open_choices(facts), key=margins.get)
            yield (
                name,
                f"The child uses less than half of its limit on {name!r}, and "
                "the mean over children is more than twice as dear: a choice "
                "is torn between a cheap and a dear candidate, likely "
                f"{closest!r}. Compare the likeliest children "
                "(`supernet.architecture.distribution().top_k(10)`), or offer "
                "candidates of a cost between.",
            )


def hardly_trained(facts, lines, patience):
    """A candidate was weighted or drawn too seldom to have learnt anything."""
    line = lines[-1]
    few = []
    for name, candidates in facts.choices.items():
        if len(lines) < patience or line["steps"] < 20 * len(candidates):
            continue
        for candidate, share in zip(
            candidates, line["credit"][name]["exposure"], strict=True
        ):
            is_few = share * len(candidates) < _EXPOSURE
            if is_few and candidate in facts.trained[name]:
                few.append(f"{name}: {candidate}")
    if few:
        yield (
            "",
            "Some candidates have hardly been trained, so their credit says "
            f"little: {_listed(few)}. Start from even logits, lower the "
            "learning rate of the logits, or keep the temperature up for "
            "longer.",
        )


CHECKS = (taken_over, lost_nodes, stuck, drifting, torn, hardly_trained)


def _open_choices(facts):
    return [n for n, found in facts.choices.items() if len(found) > 1]


def _entropy_left(facts, line):
    """Return the mean share of the entropy, 0 where nothing is to choose."""
    shares = [
        line["entropy"][n] / math.log(len(facts.choices[n]))
        for n in _open_choices(facts)
    ]
    return np.mean(shares) if shares else 0.0


def _takes(facts, line, name, wanted):
    """Whether a choice takes one of `wanted`, and not by a hair at the start.

    Its probability must be twice an even share.
    """
    candidates = facts.choices[name]
    taken = line["genotype"][name]
    p = line["probabilities"][name][list(candidates).index(taken)]
    return taken in wanted and p >= min(2.0 / len(candidates), _CLEAR)


def _listed(names, most=3):
    more = len(names) - most
    text = ", ".join(names[:most])
    return f"{text} and {more} more" if more > 0 else text
