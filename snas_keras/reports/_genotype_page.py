"""The page's section on the genotype and the children near it."""

import json
import string
from typing import Any

import numpy as np

from snas_keras import spaces
from snas_keras import supernet as supernet_lib
from snas_keras._utils import tables
from snas_keras.reports import _records

_TOP = 5
# Nats; what is less likely than exp of it counts as impossible.
_LEAST = -700.0


def genotype(
    search: _records.Search, epoch: _records.Epoch
) -> dict[str, Any] | None:
    """Return what the template needs to know of the genotype.

    Args:
        search: Search.
        epoch: Epoch, the last.

    Returns:
        dict, or None where there is no genotype, as after a divergence.
    """
    if epoch.genotype is None:
        return None
    try:
        own, likeliest = _likeliest(search, epoch)
    except ValueError:  # probabilities that are damaged, or not finite
        own, likeliest = (
            "The probabilities are not finite.",
            tables.Table((), ()),
        )
    return {
        "table": _candidates(search, epoch),
        "json": spaces.Genotype(epoch.genotype).to_json(),
        "own": own,
        "likeliest": likeliest,
        "program": _PROGRAM.substitute(
            genotype=json.dumps(epoch.genotype, indent=4, ensure_ascii=False)
        ),
    }


def _candidates(search, epoch):
    rows = []
    for name, candidate in epoch.genotype.items():
        index = search.choices[name].index(candidate)
        p = epoch.probabilities[name][index]
        rows.append((name, candidate, f"{p:.3f}"))
    head = ("choice", "candidate", "probability")
    return tables.Table(head, rows, "The candidate of every choice.")


def _likeliest(search, epoch):
    with np.errstate(divide="ignore", invalid="ignore"):
        logits = {
            name: np.maximum(np.log(p), _LEAST)
            for name, p in epoch.probabilities.items()
        }
    distribution = supernet_lib.Distribution(search.choices, logits)
    best = distribution.top_k(_TOP)
    rows = [
        (
            str(rank),
            f"{np.exp(log_p):.3g}",
            ", ".join(
                f"{name}: {candidate}"
                for name, candidate in child.items()
                if candidate != epoch.genotype[name]
            )
            or "the genotype",
        )
        for rank, (child, log_p) in enumerate(best, 1)
    ]
    p = np.exp(distribution.log_prob(epoch.genotype))
    own = f"The genotype has the probability {p:.3g}."
    if best[0][0] != epoch.genotype:
        own += (
            " It is not the likeliest child: where that one is above a limit, "
            "the search names a likely one within."
        )
    head = ("rank", "probability", "differs in")
    caption = "Where they differ from the genotype."
    return own, tables.Table(head, rows, caption)


_PROGRAM = string.Template(
    """\
import snas_keras

genotype = snas_keras.Genotype($genotype)
child = snas_keras.build_child(space, genotype)
child.compile("adam", loss=loss)
child.fit(x, y, batch_size=64, epochs=30)
child = snas_keras.for_inference(child)
snas_keras.export_saved_model(child, "saved_model", genotype)
genotype.save("genotype.json")
"""
)
