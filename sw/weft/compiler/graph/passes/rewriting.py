"""What passes share: values that take the place of others, and what stands behind a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from weft.compiler.graph.network import Network, Operator
from weft.compiler.graph.scale import Scale

__all__ = ["integer_source", "scale_of", "substituted"]


def integer_source(network: Network, name: str) -> str | None:
    """The int8 value that a real value was made of; None where it was made by computing."""
    producer = network.producers.get(name)
    return producer.inputs[0] if producer is not None and producer.op == "dequantise" else None


def substituted(network: Network, by: Mapping[str, str]) -> Network:
    """Copy whose operators and outputs read ``by[name]`` in the place of each `name` in it."""

    def of(name: str) -> str:
        while name in by:
            name = by[name]
        return name

    operators: list[Operator] = [
        replace(op, inputs=tuple(map(of, op.inputs))) for op in network.operators
    ]
    changed = replace(network, outputs=tuple(map(of, network.outputs)))
    return changed.pruned(operators)


def scale_of(network: Network, name: str) -> Scale:
    """Of a value that is int8."""
    scale = network.values[name].scale
    assert scale is not None
    return scale
