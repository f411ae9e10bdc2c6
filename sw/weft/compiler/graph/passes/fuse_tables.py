"""A pointwise function is a table of the results of what stands before it."""

from __future__ import annotations

from dataclasses import replace

from weft.compiler.graph.network import Network

from .rewriting import scale_of

__all__ = ["fuse_tables"]

#: What requantises, and can look its results up.
_BEFORE = ("conv2d", "depthwise", "add", "avg_pool", "rescale")


def fuse_tables(network: Network) -> Network:
    """Tables become part of the operators on chip whose results only they read."""
    operators = {op.output: op for op in network.operators}
    for op in network.operators:
        if op.op != "table" or not op.on_chip:
            continue
        source = op.inputs[0]
        before = operators.get(source) if network.sole_producer(source) is not None else None
        if before is None or before.op not in _BEFORE or "table" in before.constants:
            continue
        scale = scale_of(network, source)
        del operators[source]
        operators[op.output] = replace(
            before,
            output=op.output,
            attributes={
                **before.attributes,
                "before_table": [scale.step, scale.zero_point],
                "fused": [*before.attributes.get("fused", []), op.name],
            },
            constants={**before.constants, **op.constants},
        )
    order = [operators[op.output] for op in network.operators if op.output in operators]
    return network.pruned(order).verify()
