"""Layers quantised from what reaches and leaves them, without a model."""

from __future__ import annotations

from weft.compiler.graph.scale import Float
from weft.compiler.quantise.linear import QuantisedLinear, quantise_to
from weft.compiler.quantise.ranges import affine_range


def quantise_linear(
    name: str, weight: Float, bias: Float | None, x: Float, y: Float, *, result: str = "int8"
) -> QuantisedLinear:
    """Quantise ``y = x @ weight.T + bias``; `x` and `y` set the ranges."""
    target = affine_range(y) if result == "int8" else affine_range(y, 16, symmetric=True)
    if result == "int32":
        target = None
    return quantise_to(name, weight, bias, affine_range(x), target, result=result)
