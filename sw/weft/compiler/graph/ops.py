"""The operations of a graph: their operands, and the rules that these obey.

A new operation is an entry here, its arithmetic in :mod:`.reference`, and a tiler in
``weft.compiler.schedule``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from weft.errors import UsageError
from weft_hw.numerics import WEIGHT_MAX, WEIGHT_MIN

from .requant import Requant, integers
from .tensor import Tensor

__all__ = ["OPS", "Op"]


@dataclass(frozen=True)
class Op:
    """One operation.

    Parameters
    ----------
    operands : what each input is, for messages
    rules : called with the operands, the output and the requantisation; raises UsageError.
    """

    operands: tuple[str, ...]
    rules: Callable[[Sequence[Tensor], Tensor, Requant | None], None]

    def verify(
        self, node: str, operands: Sequence[Tensor], output: Tensor, requant: Requant | None
    ) -> None:
        """Refuse a node that breaks a rule.

        Raises
        ------
        UsageError
            The sentence names the node.
        """
        try:
            if len(operands) != len(self.operands):
                raise UsageError(f"needs {', '.join(self.operands)}, not {len(operands)} operands")
            self.rules(operands, output, requant)
        except UsageError as error:
            raise UsageError(f"graph: node {node!r}: {error.message}", error.remedy) from None


def _linear(operands: Sequence[Tensor], output: Tensor, requant: Requant | None) -> None:
    """``output[M, N] = x[M, K] @ weights[K, N] + bias[N]``, requantised unless it is int32."""
    x, weights, bias = operands
    if x.dtype != "int8" or len(x.shape) != 2:
        raise UsageError(f"the activations must be int8 [M, K], not {x}")
    if weights.data is None or bias.data is None:
        raise UsageError("weights and bias must be constants")
    if len(weights.shape) != 2:
        raise UsageError(f"weights must be [K, N], not {list(weights.shape)}")
    k, n = weights.data.shape
    if x.shape[1] != k:
        raise UsageError(f"weights must be [{x.shape[1]}, N] for {x}, not {[k, n]}")
    if weights.dtype != "int8":
        raise UsageError(f"weights must be int8, not {weights.dtype}")
    integers("weights", weights.data, (k, n), WEIGHT_MIN, WEIGHT_MAX, np.int8)
    if (bias.dtype, bias.shape) != ("int32", (n,)):
        raise UsageError(f"bias must be int32 [{n}], not {bias.dtype} {list(bias.shape)}")
    if output.shape != (x.shape[0], n):
        raise UsageError(f"the output must be {[x.shape[0], n]}, not {list(output.shape)}")
    if requant is None:
        if output.dtype != "int32":
            raise UsageError(f"{output.dtype} results need a requantisation")
    else:
        requant.verify(n, output.dtype)


#: By name.
OPS: Mapping[str, Op] = MappingProxyType(
    {"linear": Op(("activations", "weights", "bias"), _linear)}
)
