"""Measurement of the latency of a network's layers on this machine."""

import functools
import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snas_keras import children as children_lib
from snas_keras import layers, spaces
from snas_keras._utils import fingerprint
from snas_keras.costs import (
    _calls,
    _child_cost,
    _clock,
    _latency_table,
    _machine,
    _network_cost,
)

_DRAWS = 1000
# Milliseconds: noise may make less than nothing of a tiny child.
_LEAST = 1e-6


def measure_latency(
    supernet: Any,
    batch_size: int = 1,
    device: str | None = None,
    *,
    repeats: int = 20,
    held_out: int = 8,
    seed: int = 0,
    verbose: int = 1,
) -> _latency_table.LatencyTable:
    """Measure the latency of every candidate and every fixed layer.

    A layer is timed as the child runs it: in its stock form, outside training,
    in a TensorFlow function. The function runs it on four inputs in sequence;
    the time of a function that does the same without the layer is subtracted.
    All functions take turns, so that a machine that is busy for a while slows
    all of them equally, and each runs three times in its turn, of which the
    fastest counts: an interruption only ever adds to a time. The latency is the
    median over the turns. Equal layers are timed once. Measure while nothing
    else runs.

    The latency of a child is predicted as

        scale * sum_layer milliseconds(layer)

    Branches of a child run in parallel where there are cores for it, so that
    the whole takes less than the sum of its parts: the scale is the median
    ratio of measured to summed latency over some whole children. How accurate
    the prediction is, is measured on others, the held-out children. What leads
    to no output is left out of a child but counts here, so that children of
    little but `none` take less than predicted.

    Args:
        supernet: SuperNet. Its shapes, but for the batch, must be fixed.
        batch_size: int, examples in a call, default 1.
        device: str such as "GPU:0" or "CPU:0", default TensorFlow's choice.
        repeats: int, turns of each function, default 20.
        held_out: int, whole children to compare with, default 8, and half as
            many more for the scale; 0 for none, and the scale 1. They are
            sampled at random, spread over the range of predicted latencies.
        seed: int, of that sampling, default 0.
        verbose: int, 0 for silence, default 1.

    Returns:
        LatencyTable.

    Raises:
        TypeError: `supernet` is no supernet, or a layer cannot be described by
            its config, or cannot be run by itself.
        ValueError: a number is out of range, there is no such device, or a
            shape is not fixed.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4, blocks=1)
    >>> supernet = snas_keras.build_supernet(space)
    >>> table = measure_latency(supernet, repeats=3, held_out=0, verbose=0)
    >>> costs = snas_keras.space_report(space, costs=[table]).costs["latency"]
    >>> 0.0 <= costs.minimum <= costs.maximum
    True
    """
    _check_supernet(supernet)
    _check_number("batch_size", batch_size, 1)
    _check_number("repeats", repeats, 1)
    _check_number("held_out", held_out, 0)
    clock = _clock.Clock(batch_size, repeats, verbose)
    # Keras seeds initializers with Python's generator: looking changes nothing.
    state = random.getstate()
    try:
        with tf.device(_check_device(device)):
            entries = _time_layers(supernet.network, clock)
            machine = _machine.this_machine(device)
            table = _latency_table.LatencyTable(
                entries, machine, batch_size, device
            )
            if held_out:
                table.scale, table.held_out = _time_children(
                    supernet, table, clock, held_out, seed
                )
    finally:
        random.setstate(state)
    if verbose:
        print(table.report())
    return table


def _time_layers(network, clock):
    """Return the entries of a `LatencyTable`."""
    kinds = {}
    for name, call in _layer_calls(network):
        if not _latency_table.is_free(call.operation):
            key = fingerprint.layer_key(call.operation, call.input_shape)
            kinds.setdefault(key, (name, call))
    times = clock([_runnable(call) for _, call in kinds.values()], 4)
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75], axis=1)
    return {
        key: {
            "layer": f"{name} on {call.input_shape}",
            # The difference of two times that are noisy, and nearly the same
            # where a layer does next to nothing.
            "milliseconds": max(0.0, float(median[i])),
            "spread": float(high[i] - low[i]),
        }
        for i, (key, (name, call)) in enumerate(kinds.items())
    }


def _layer_calls(network):
    """List (name, call), of a mixed edge the calls of its candidates."""
    calls = []
    for call in _network_cost.flat(_calls.network_calls(network)):
        layer = call.operation
        if isinstance(layer, layers.MixedEdge):
            calls += [
                (name, _calls.edge_call(layer, x, call.args[0]))
                for name, x in layer.candidates.items()
            ]
        else:
            calls.append((layer.name, call))
    return calls


def _runnable(call):
    """Return a layer as a child runs it, built, and the tensors it takes."""
    layer = call.operation
    _check_is_fixed(call)
    try:
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError("A raw operation is no layer.")
        stock = layers.to_stock(layer)
        stock(*call.args, **call.kwargs)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The latency of {layer.name!r} of type {type(layer).__name__} "
            "cannot be measured: it cannot be run by itself on an input of "
            f"shape {call.input_shape}. Wrap it in a layer that can."
        ) from error
    return functools.partial(_run, stock, call), call.tensors


def _run(layer, call, tensors):
    args, kwargs = call.on(tensors)
    return layer(*args, **{"training": False, **kwargs})


def _check_is_fixed(call):
    for tensor in call.tensors:
        if None in tensor.shape:
            raise ValueError(
                "A latency needs fixed shapes; give the search space's Input "
                f"full sizes. Received: shape={call.input_shape}"
            )


def _time_children(supernet, table, clock, count, seed):
    """Return the scale, and what other children say about it."""
    cost = _child_cost.ChildCost(supernet, table)
    genotypes = _spread_genotypes(cost, count + -(-count // 2), seed)
    children = [
        children_lib.convert(supernet, genotype) for genotype in genotypes
    ]
    times = clock(
        [(functools.partial(x, training=False), x.input) for x in children], 1
    )
    measured = np.maximum(np.median(times, axis=1), _LEAST)
    predicted = np.maximum([cost(g) for g in genotypes], _LEAST)
    for_scale = np.arange(len(children)) % 3 == 0
    scale = float(np.median(measured[for_scale] / predicted[for_scale]))
    held_out = {
        "predicted": (scale * predicted[~for_scale]).tolist(),
        "measured": measured[~for_scale].tolist(),
    }
    return scale, None if all(for_scale) else held_out


def _spread_genotypes(cost, count, seed):
    """Sample children spread evenly over the range of a cost.

    Sampled uniformly, the children of a large space all cost about the same. So
    each sample takes, for some share of its choices, one of the cheapest
    quarter of the candidates, or of the most expensive.
    """
    generator = np.random.default_rng(seed)
    costs = {}
    for lean in generator.uniform(-1.0, 1.0, _DRAWS):
        genotype = spaces.Genotype(
            {
                name: candidates[_leaning(cost.rows[name], lean, generator)]
                for name, candidates in cost.choices.items()
            }
        )
        costs[genotype] = cost(genotype)
    left, genotypes = dict(costs), []
    for target in np.linspace(min(costs.values()), max(costs.values()), count):
        if left:
            distance = {g: abs(value - target) for g, value in left.items()}
            genotypes.append(min(distance, key=distance.get))
            del left[genotypes[-1]]
    return sorted(genotypes, key=costs.get)


def _leaning(row, lean, generator):
    order = row.argsort()
    if generator.random() < abs(lean):
        quarter = max(1, len(row) // 4)
        order = order[-quarter:] if lean > 0 else order[:quarter]
    return int(generator.choice(order))


def _check_supernet(supernet):
    if not hasattr(supernet, "architecture"):
        raise TypeError(
            "Latencies are measured on a supernet; of a search space make one "
            f"by snas_keras.build_supernet(space). Received: {supernet!r}"
        )


def _check_device(device):
    """Return `device`, or refuse what this machine does not have."""
    devices = [
        x.name.removeprefix("/device:")
        for x in tf.config.list_logical_devices()
    ]
    if device is not None and device.upper().lstrip("/") not in devices:
        raise ValueError(
            f"There is no such device. Received: device={device!r}. Allowed: "
            f"{devices}"
        )
    return device


def _check_number(name, value, least):
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"`{name}` must be an int of at least {least}. Received: "
            f"{name}={value!r}"
        )
