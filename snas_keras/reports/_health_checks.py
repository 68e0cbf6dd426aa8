"""Health checks of a search, one function each, and their registry."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from snas_keras.reports import _records
from snas_keras.reports._health_facts import Facts

# Shares of all choices, of a limit, or of an even exposure.
_DOMINANT = 0.8
_UNDECIDED = 0.5
_MOVED = 0.005
_DRIFT = 0.05
_UNUSED = 0.5
_EXPOSURE = 0.1
# The probability from which a candidate is clearly preferred, of few.
_CLEAR = 0.75

Findings = Iterator[tuple[str, str]]


def divergence(
    facts: Facts, epochs: Sequence[_records.Epoch], patience: int
) -> Findings:
    """Yield the loss, a metric or logits that are not finite.

    Args:
        facts: Facts.
        epochs: the epochs so far.
        patience: int, not used.
    """
    del facts, patience
    diverged = _records.not_finite(epochs[-1])
    if diverged:
        yield (
            "",
            "The search has diverged: not finite (NaN or infinite) are "
            f"{_listed(diverged)}. Look for missing values in the data, lower "
            "the learning rates, or clip the gradients (`clipnorm`); go on "
            "from a checkpoint of before.",
        )


def skip_dominance(
    facts: Facts, epochs: Sequence[_records.Epoch], patience: int
) -> Findings:
    """Yield skips, or `none`, that dominate nearly all choices.

    Args:
        facts: Facts.
        epochs: the epochs so far.
        patience: int, not used.
    """
    del patience
    remedies = {
        "skips": "Skips train nothing and win early: raise the learning rate "
        "of the weights or lower that of the logits, or let the weights train "
        "for some epochs before the logits move.",
        "none": "`none` wins where the task's credit is positive, as on held-"
        "out data or with an expensive penalty: train on the search's own "
        "data, lower the resource's weight, or leave `none` out of the space.",
    }
    for label, roles in (("skips", facts.skips), ("none", facts.nones)):
        offered = [name for name, candidates in roles.items() if candidates]
        dominated = [
            n for n in offered if _prefers(facts, epochs[-1], n, roles[n])
        ]
        if len(offered) > 1 and len(dominated) >= _DOMINANT * len(offered):
            yield (
                label,
                f"{label} dominate nearly all choices. {remedies[label]}",
            )


def dead_node(
    facts: Facts, epochs: Sequence[_records.Epoch], patience: int
) -> Findings:
    """Yield nodes whose edges are all `none`: they give zero.

    Args:
        facts: Facts.
        epochs: the epochs so far.
        patience: int, not used.
    """
    del patience
    for node, edges in facts.nodes.items():
        if all(_prefers(facts, epochs[-1], e, facts.nones[e]) for e in edges):
            yield (
                node,
                f"The node {node!r} has no live edge: the likeliest candidate "
                f"of {_listed(sorted(set(edges)))} is `none`. Lower the "
                "resource's weight, or leave `none` out of one of them.",
            )


def stalled(
    facts: Facts, epochs: Sequence[_records.Epoch], patience: int
) -> Findings:
    """Yield a search whose probabilities stand still, far from a decision.

    Args:
        facts: Facts.
        epochs: the epochs so far.
        patience: int, epochs without a move.
    """
    if len(epochs) <= patience:
        return
    now, before = (e.probabilities for e in (epochs[-1], epochs[-1 - patience]))
    names = _open_choices(facts)
    moved = [np.abs(np.subtract(now[n], before[n])).sum() / 2 for n in names]
    if names and np.mean(moved) < _MOVED:
        if _entropy_left(facts, epochs[-1]) > _UNDECIDED:
            yield (
                "",
                "The search has stalled: it has hardly moved for some epochs, "
                "and most of its entropy is left. Raise the learning rate of "
                "the logits (`architecture_optimizer`), or search for more "
                "epochs.",
            )


def constraint_drift(
    facts: Facts, epochs: Sequence[_records.Epoch], patience: int
) -> Findings:
    """Yield costs that leave their limit, whatever the rising weight does.

    Args:
        facts: Facts.
        epochs: the epochs so far.
        patience: int, epochs between the three that are compared.
    """
    if len(epochs) <= 2 * patience:
        return
    for name, limit in facts.limits.items():
        first, second, last = (
            epoch.costs[name].expected
            for epoch in epochs[-1 - 2 * patience :: patience]
        )
        if last > second > first and last > (1.0 + _DRIFT) * limit:
            yield (
                name,
                f"The cost {name!r} is above its limit and drifts away from "
                "it. Raise `rate` or the first `weight` of its Resource, or "
                "the learning rate of the logits.",
            )


def bimodal_cost(
    facts: Facts, epochs: Sequence[_records.Epoch], patience: int
) -> Findings:
    """Yield costs whose mean comes near a limit while the child does not.

    Args:
        facts: Facts.
        epochs: the epochs so far.
        patience: int, epochs for which that must be so.
    """
    recent = epochs[-patience:]
    if len(recent) < patience:
        return
    for name, limit in facts.limits.items():
        costs = [epoch.costs[name] for epoch in recent]
        is_unused = all(
            c.child < _UNUSED * limit and c.child < _UNUSED * c.expected
            for c in costs
        )
        # Early, while nothing is decided, that is no sign.
        if is_unused and _entropy_left(facts, recent[0]) < _UNDECIDED:
            closest = min(_open_choices(facts), key=recent[-1].margin.get)
            yield (
                name,
                f"The child uses less than half of its limit on {name!r}, and "
                "the mean over children is more than twice as expensive: the "
                "cost is bimodal, for a choice swings between a cheap and an "
                f"expensive candidate, likely {closest!r}. Compare the "
                "likeliest children "
                "(`supernet.architecture.distribution().top_k(10)`), or offer "
                "candidates of a cost between.",
            )


def undertrained_candidates(
    facts: Facts, epochs: Sequence[_records.Epoch], patience: int
) -> Findings:
    """Yield candidates that were weighted or drawn too seldom to be judged.

    Args:
        facts: Facts.
        epochs: the epochs so far.
        patience: int, epochs before which nothing is said.
    """
    epoch, few = epochs[-1], []
    for name, candidates in facts.choices.items():
        if len(epochs) < patience or (epoch.steps or 0) < 20 * len(candidates):
            continue
        for candidate, share in zip(
            candidates, epoch.credit[name].exposure, strict=True
        ):
            is_few = share * len(candidates) < _EXPOSURE
            if is_few and candidate in facts.trained[name]:
                few.append(f"{name}: {candidate}")
    if few:
        yield (
            "",
            "Some candidates are undertrained, so their credit says little: "
            f"{_listed(few)}. Start from even logits, lower the learning rate "
            "of the logits, or keep the temperature up for longer.",
        )


# To add a check, write a function (facts, epochs, patience) that yields
# (subject, message), and one line here. A subject is said once.
HEALTH_CHECKS: dict[str, Callable[..., Findings]] = {
    "divergence": divergence,
    "skip_dominance": skip_dominance,
    "dead_node": dead_node,
    "stalled": stalled,
    "constraint_drift": constraint_drift,
    "bimodal_cost": bimodal_cost,
    "undertrained_candidates": undertrained_candidates,
}


def _open_choices(facts):
    return [n for n, names in facts.choices.items() if len(names) > 1]


def _entropy_left(facts, epoch):
    """Return the mean share of the entropy, 0 where nothing is to choose."""
    shares = [
        epoch.entropy[n] / math.log(len(facts.choices[n]))
        for n in _open_choices(facts)
    ]
    return np.mean(shares) if shares else 0.0


def _prefers(facts, epoch, name, role):
    """Whether a choice prefers a candidate of a role, and not by a hair.

    Its probability must be twice an even share.
    """
    if epoch.genotype is None:
        return False
    candidates = facts.choices[name]
    preferred = epoch.genotype[name]
    p = epoch.probabilities[name][list(candidates).index(preferred)]
    return preferred in role and p >= min(2.0 / len(candidates), _CLEAR)


def _listed(names, most=3):
    more = len(names) - most
    text = ", ".join(names[:most])
    return f"{text} and {more} more" if more > 0 else text
