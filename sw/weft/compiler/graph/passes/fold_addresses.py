"""What only says where elements stand is no operation: pads before a window, and reshapes.

A pad is the border of the window that reads it. A reshape of a single pixel moves nothing; one that
makes a vector of a map, before a linear layer, makes that layer a convolution with a kernel as
large as the map.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weft.compiler.graph.network import Network, Operator

from .rewriting import integer_source, substituted

__all__ = ["fold_pads", "fold_reshapes"]


def _kept(network: Network, name: str, op: str) -> tuple[Operator, str] | None:
    """(operator, its int8 input) of a real that `op` made of int8, and that has its scale."""
    inner = integer_source(network, name)
    if inner is not None:  # int8 -> reals -> op -> int8 -> reals
        quantise = network.producers.get(inner)
        if quantise is None or quantise.op != "quantise":
            return None
        name = quantise.inputs[0]
    found = network.producers.get(name)
    if found is None or found.op != op:
        return None
    source = integer_source(network, found.inputs[0])
    if source is None:
        return None
    if inner is not None and network.values[inner].scale != network.values[source].scale:
        return None
    return found, source


def fold_pads(network: Network) -> Network:
    """Pads with zeros become borders of the convolutions and averages behind them."""
    operators = []
    for op in network.operators:
        if op.op in ("conv2d", "avg_pool2d"):
            found = _kept(network, op.inputs[0], "pad")
            if found is not None and op.attributes.get("border_counts", True):
                pad = found[0]
                widths = [*pad.attributes["widths"], 0, 0, 0, 0][:4]
                deeper = pad.attributes["widths"][4:]
                if not any(deeper) and min(widths) >= 0 and pad.attributes["value"] == 0:
                    left, right, top, bottom = widths
                    sides = [
                        a + b for a, b in zip(op.attributes["padding"], (top, bottom, left, right))
                    ]
                    op = replace(
                        op,
                        inputs=pad.inputs,
                        attributes={**op.attributes, "padding": sides},
                    )
        operators.append(op)
    return network.pruned(operators).verify()


def fold_reshapes(network: Network) -> Network:
    """Reshapes that move nothing are dropped, those before a linear layer become its kernel."""
    operators, by = [], {}
    for op in network.operators:
        if op.op == "linear":
            op = _as_convolution(network, op)
        operators.append(op)
    network = network.pruned(operators)
    for op in network.operators:
        if op.op == "quantise":
            found = _kept_reshape(network, op)
            if found is not None:
                by[op.output] = found
    return substituted(network, by).verify()


def _kept_reshape(network: Network, quantise: Operator) -> str | None:
    """The int8 value that lies on chip as what `quantise` makes of a reshape of it."""
    reshape = network.producers.get(quantise.inputs[0])
    if reshape is None or reshape.op != "reshape":
        return None
    source = integer_source(network, reshape.inputs[0])
    if source is None:
        return None
    before, after = network.values[source], network.values[quantise.output]
    if before.scale != after.scale or quantise.output in network.outputs:
        return None
    is_pixel = before.shape[0] == 1 == after.shape[0] and len(after.shape) in (2, 4)
    is_pixel = is_pixel and len(before.shape) in (2, 4) and before.map == after.map
    return source if is_pixel else None


def _as_convolution(network: Network, op: Operator) -> Operator:
    """A linear layer of a flattened map as the convolution of the map that it is."""
    found = _kept(network, op.inputs[0], "reshape")
    if found is None:
        return op
    reshape, source = found
    before = network.values[source].shape
    if len(before) != 4 or len(network.values[op.inputs[0]].shape) != 2 or before[0] != 1:
        return op
    out = network.values[op.output].shape

    def unrolled(weights: Any) -> Any:
        return weights.reshape(out[-1], *before[1:])

    constants = {
        name: unrolled(value) if name in ("weights", "integers") else value
        for name, value in op.constants.items()
    }
    attributes = {
        "stride": [1, 1], "padding": [0] * 4, "dilation": [1, 1], "groups": 1, "flattened": True
    }  # fmt: skip
    return Operator(op.name, "conv2d", reshape.inputs, op.output, attributes, constants)
