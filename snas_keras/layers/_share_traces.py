"""Shared traces of equal edges."""

from collections.abc import Iterable

from snas_keras._utils import fingerprint
from snas_keras.layers import _mixed_edge, _shared_trace


def share_traces(
    mixed_edges: Iterable[_mixed_edge.MixedEdge],
    recompute: bool = False,
    jit_compile: bool = False,
) -> None:
    """Trace equal edges only once.

    Two edges are equal if their candidates have equal configs, names aside, and
    run the same code: functions among their arguments, and attributes that the
    config does not contain, must be the same. Each edge has its own variables.

    XLA compiles nested functions with gradient again in every step, so under
    XLA each edge is traced separately.

    Args:
        mixed_edges: iterable of built MixedEdge.
        recompute: bool, whether edges are recomputed in the backward pass
            instead of storing their intermediate results, default False.
        jit_compile: bool, whether XLA compiles the step, default False.
    """
    traces = {}
    for edge in mixed_edges:
        candidates = list(edge.candidates.values())
        signatures = [
            _signature(layer, edge.candidate_input_shape)
            for layer in candidates
        ]
        kind = (*_settings(edge), *signatures)
        if None in signatures or jit_compile:
            kind = edge
        if kind not in traces:
            traces[kind] = _shared_trace.SharedTrace(
                edge,
                _mixed_edge.MixedEdge.mix,
                inline=not edge.single_path,
                recompute=recompute,
                nested=not jit_compile,
            )
        edge.under_xla = jit_compile
        edge.trace = traces[kind] if recompute or not jit_compile else None


def _settings(edge):
    """Return the settings of an edge, and which candidates share weights."""
    places = {id(v): place for place, v in enumerate(edge.variables)}
    return (
        edge.single_path,
        edge.is_spread,
        edge.compute_dtype,
        edge.output_dtype,
        str(edge.input_dtypes),
        *(
            tuple(places[id(v)] for v in layer.variables)
            for layer in edge.candidates.values()
        ),
    )


def _signature(layer, input_shape):
    """Return a key, equal for layers that may share a trace, or None."""
    try:
        return fingerprint.layer_key(layer, input_shape, same_code=True)
    except TypeError:
        return None
