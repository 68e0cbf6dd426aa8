"""The costs of a network's layers, sorted by edges, choices and candidates."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from snas_keras import layers
from snas_keras._utils import graph
from snas_keras.costs import _calls, _cost, _registry, _shapes, _tied


@dataclasses.dataclass(frozen=True)
class NetworkCost:
    """What a network with mixed edges costs.

    Args:
        fixed: float, of all layers that are no mixed edge.
        table: {choice name: float64 array, shape (edges, candidates)}.
        tied: tuple of Tied, weights that several choices share.
    """

    fixed: float
    table: dict[str, np.ndarray]
    tied: tuple[_tied.Tied, ...] = ()


def read(network: keras.Model, cost: Any) -> NetworkCost:
    """Read the cost of a network's layers.

    Args:
        network: functional Keras model with `MixedEdge` layers.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        NetworkCost.

    Raises:
        TypeError: the cost does not know a layer's type.
        ValueError: a cost is negative or not finite.
    """
    function = _registry.get(cost)
    size = None
    if isinstance(function, _registry.AtSize):
        function, size = function.cost, function.size
    calls = flat(_calls.network_calls(network, size))
    if isinstance(function, _cost.WeightCost):
        return _by_weights(calls, function)
    return _by_calls(calls, function, _calls.batch_size(network))


def edge_costs(edge: layers.MixedEdge, cost: Any) -> list[float]:
    """Read the cost of every candidate of one built edge, called once.

    Args:
        edge: MixedEdge, built.
        cost: str or function (layer, input_shape) -> float.

    Returns:
        list of float, one for each candidate.
    """
    function = _registry.get(cost)
    inputs = _shapes.symbols(edge.candidate_input_shape)
    calls = [
        _calls.edge_call(edge, layer, inputs)
        for layer in edge.candidates.values()
    ]
    return [
        _checked(_of_call(function, call), f"candidate {name!r}")
        for name, call in zip(edge.candidates, calls, strict=True)
    ]


def flat(calls: Iterable[_calls.Call]) -> Iterator[_calls.Call]:
    """Yield calls, of a nested model with mixed edges those inside.

    Args:
        calls: iterable of Call.

    Yields:
        Call.
    """
    for call in calls:
        layer = call.operation
        if not isinstance(layer, layers.MixedEdge) and _has_edges(layer):
            yield from flat(_calls.inside(call))
        else:
            yield call


def _has_edges(layer):
    return isinstance(layer, keras.layers.Layer) and any(
        isinstance(part, layers.MixedEdge) for part in graph.sublayers(layer)
    )


def _by_calls(calls, cost, batch):
    fixed, edges = 0.0, {}
    for call in calls:
        edge = call.operation
        if not isinstance(edge, layers.MixedEdge):
            with _located("Outside the choices"):
                value = _of_call(cost, call)
            fixed += _checked(value, f"layer {edge.name!r}")
            continue
        costs = edges.setdefault(edge, np.zeros(len(edge.candidates)))
        for index, (name, layer) in enumerate(edge.candidates.items()):
            costs[index] += _of_candidate(cost, call, edge, name, layer)
    table = {}
    for edge, costs in edges.items():
        table.setdefault(edge.choice, []).append(costs / batch)
    return NetworkCost(
        fixed / batch, {name: np.array(rows) for name, rows in table.items()}
    )


def _of_candidate(cost, call, edge, name, layer):
    place = f"{name!r} of choice {edge.choice!r}"
    with _located(f"Candidate {place}"):
        value = _of_call(cost, _calls.edge_call(edge, layer, call.args[0]))
    return _checked(value, f"candidate {place}")


@contextlib.contextmanager
def _located(place):
    """Let errors say where in the network they were met."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{place}: {error}") from error


def _of_call(cost, call):
    if isinstance(cost, _cost.CallCost):
        return cost.of_call(call)
    return call.times * cost(call.operation, call.input_shape)


def _checked(value, place):
    value = float(value)
    if 0 <= value < float("inf"):
        return value
    raise ValueError(
        f"A cost must be finite and not negative. Received: {value} for {place}"
    )


def _by_weights(calls, cost):
    operations = {id(call.operation): call.operation for call in calls}
    is_edge = {
        key: isinstance(x, layers.MixedEdge) for key, x in operations.items()
    }
    edges = [x for key, x in operations.items() if is_edge[key]]
    fixed = {
        id(weight): weight
        for key, x in operations.items()
        if not is_edge[key]
        for weight in cost.weights(x)
    }
    table, owners = {}, {}
    for edge in edges:
        row = [
            _new_weights(cost.weights(layer), fixed, owners, edge.choice, index)
            for index, layer in enumerate(edge.candidates.values())
        ]
        table.setdefault(edge.choice, []).append(
            [_sum_of(weights, cost) for weights in row]
        )
    return NetworkCost(
        _sum_of(fixed.values(), cost),
        {name: np.array(rows, "float64") for name, rows in table.items()},
        _tied_weights(owners, cost),
    )


def _sum_of(weights, cost):
    costs = [_checked(cost.of_weight(w), f"weight {w.path!r}") for w in weights]
    return float(sum(costs))


def _new_weights(weights, fixed, owners, choice, index):
    """Return the weights that this candidate is the first to bring."""
    new = []
    for weight in weights:
        if id(weight) in fixed:
            continue
        users = owners.setdefault(id(weight), (weight, {}))[1]
        candidates = users.setdefault(choice, set())
        if index not in candidates:
            candidates.add(index)
            new.append(weight)
    return new


def _tied_weights(owners, cost):
    """Return what several choices share, weights with the same users as one."""
    groups = {}
    for weight, users in owners.values():
        if len(users) > 1:
            key = tuple((n, frozenset(of)) for n, of in sorted(users.items()))
            groups[key] = groups.get(key, 0.0) + cost.of_weight(weight)
    return tuple(
        _tied.Tied(float(total), dict(key)) for key, total in groups.items()
    )
