"""Quantising what was int8 with the same scale already gives the same int8."""

from __future__ import annotations

from weft.compiler.graph.network import Network

from .rewriting import integer_source, substituted

__all__ = ["drop_repeats"]


def drop_repeats(network: Network) -> Network:
    """Without a quantisation of what an equal one has just been undone."""
    by: dict[str, str] = {}
    for op in network.operators:
        if op.op != "quantise":
            continue
        source = integer_source(network, op.inputs[0])
        if source is None:
            continue
        scale = network.values[source].scale
        if scale == network.values[op.output].scale:
            by[op.output] = source
    return substituted(network, by).verify()
