"""Edges that compute the same share one trace."""

from collections.abc import Iterable

from snas_keras._utils import fingerprint
from snas_keras.layers import _mixed_edge, _shared_trace


def share_traces(
    mixed_edges: Iterable[_mixed_edge.MixedEdge],
    recompute: bool = False,
    jit_compile: bool = False,
) -> None:
    """Trace edges that compute the same only once.

    Two edges do where their candidates are equal but for the names, in their
    configs and in the code they run: functions they were given, and attributes
    that a config hides, must be the same. The variables stay each edge's own.

    XLA compiles nested functions with gradient anew in every step, so for it
    every edge is traced by itself.

    Args:
        mixed_edges: iterable of built MixedEdge.
        recompute: bool, whether edges are computed again in the backward pass
            in place of keeping all that they computed, default False.
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
        edge.trace = traces[kind] if recompute or not jit_compile else None


def _settings(edge):
    """Return what an edge computes by itself, and which candidates are tied."""
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
    """Return what layers have in common that may share a trace, or None."""
    try:
        return fingerprint.layer_key(layer, input_shape, same_code=True)
    except TypeError:
        return None
