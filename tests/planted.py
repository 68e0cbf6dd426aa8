"""Logs of searches that were never run, in the format of the search logger."""

import json
import math

import numpy as np

from snas_keras.reports import _records

OPERATIONS = (
    *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"),
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
)
KINDS = {
    "cells": {
        f"{cell}_{source}->{node}": OPERATIONS
        for cell in ("normal", "reduce")
        for node in range(2, 6)
        for source in range(node)
    },
    "chain": {
        "block_0": ("conv_3x3", "conv_1x1", "skip"),
        "block_1": ("conv_3x3", "a rather long name of a candidate", "skip"),
        "the head <of> the network": ("dense", "linear"),
    },
}


def run(kind, epochs=20, seed=0):
    """Return (about, lines) of a search whose logits wander."""
    generator = np.random.default_rng(seed)
    choices = KINDS[kind]
    logits = {name: np.zeros(len(c)) for name, c in choices.items()}
    about = {
        "name": kind,
        "choices": {name: list(c) for name, c in choices.items()},
        "children": math.prod(len(c) for c in choices.values()),
        "costs": {
            "flops": {"minimum": 1e5, "maximum": 1e6, "limit": 6e5},
            "parameters": {"minimum": 100, "maximum": 9000, "limit": None},
        },
        "versions": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    }
    lines = []
    for epoch in range(epochs):
        for value in logits.values():
            value += generator.normal(size=len(value)) * 0.3
        lines.append(_line(epoch, epochs, choices, logits, generator))
    return about, lines


def _line(epoch, epochs, choices, logits, generator):
    p = {n: np.exp(v) / np.exp(v).sum() for n, v in logits.items()}
    noise = {
        n: {
            **{k: (generator.normal(size=len(c)) / 100).tolist() for k in KEYS},
            "edge": 0.01,
        }
        for n, c in choices.items()
    }
    left = 1 - (epoch + 1) / epochs
    return {
        "epoch": epoch,
        "seconds": 2.5,
        "logs": {
            "loss": 0.5 + left,
            "val_loss": 0.6 + left,
            "accuracy": 0.9 - 0.5 * left,
            "val_accuracy": 0.8 - 0.5 * left,
        },
        "temperature": 0.03 + left,
        "probabilities": {n: v.tolist() for n, v in p.items()},
        "entropy": {n: float(-(v * np.log(v)).sum()) for n, v in p.items()},
        "margin": {n: float(np.diff(np.sort(v))[-1]) for n, v in p.items()},
        "credit": noise,
        "costs": {
            "flops": {
                "expected": 6e5 + 3e5 * left,
                "child": 5.8e5 + 2e5 * left,
                "weight": 0.1,
            },
            "parameters": {
                "expected": 4000 + 900 * left,
                "child": 3500,
                "weight": None,
            },
        },
        "genotype": {n: choices[n][int(v.argmax())] for n, v in p.items()},
    }


KEYS = ("credit", "task", "resource", "signal_to_noise", "exposure")


def records(kind, **options):
    """Return (Search, list of Epoch) of the same."""
    about, lines = run(kind, **options)
    search = _records.Search.from_json(about)
    return search, [_records.Epoch.from_json(line) for line in lines]


def write(folder, kind, **options):
    """Write the files of a run; return (about, lines)."""
    about, lines = run(kind, **options)
    (folder / "search.json").write_text(json.dumps(about))
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "search.jsonl").write_text(text)
    return about, lines
