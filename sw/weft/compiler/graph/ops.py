"""The operations of a graph: their operands, and the rules that these obey.

A new operation is an entry here, its arithmetic in :mod:`.reference`, and a tiler in
``weft.compiler.schedule``. Maps are [H, W, C].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from weft.errors import UsageError
from weft_hw.config import GRANULE_BYTES
from weft_hw.numerics import WEIGHT_MAX, WEIGHT_MIN

from .requant import integers
from .tensor import Tensor
from .window import Window

if TYPE_CHECKING:
    from .graph import Node

__all__ = ["ADD_WEIGHT", "OPS", "PART_CHANNELS", "Op"]

#: Channels of each part of a map but the last: a multiple of this, so that parts share no granule.
PART_CHANNELS = GRANULE_BYTES

#: An addition multiplies its first operand by this before it is scaled: the multipliers of both
#: then have as many bits.
ADD_WEIGHT = 64

#: What is called with the node, its operands and its output; raises UsageError.
Rules = Callable[["Node", Sequence[Tensor], Tensor], None]


@dataclass(frozen=True)
class Op:
    """One operation.

    Parameters
    ----------
    operands : what each input is, for messages; a residual, where the requantisation has one, comes
        behind them.
    rules : called with the node, the operands and the output; raises UsageError.
    takes_residual : whether its requantisation may have one.
    is_variadic : the one operand may stand several times.
    """

    operands: tuple[str, ...]
    rules: Rules
    takes_residual: bool = False
    is_variadic: bool = False

    def verify(self, node: Node, operands: Sequence[Tensor], output: Tensor) -> None:
        """Refuse a node that breaks a rule.

        Raises
        ------
        UsageError
            The sentence names the node.
        """
        try:
            wanted = self.operands
            if node.requant is not None and node.requant.residual_multiplier is not None:
                if not self.takes_residual:
                    raise UsageError(f"{node.op} takes no residual")
                wanted = (*wanted, "residual")
            elif self.takes_residual and len(operands) == len(wanted) + 1:
                raise UsageError("needs a requantisation with a residual")
            if self.is_variadic:
                wanted *= max(len(operands), 1)
            if len(operands) != len(wanted):
                raise UsageError(f"needs {', '.join(wanted)}, not {len(operands)} operands")
            if wanted[-1] == "residual":
                _same("the residual", operands[-1], output)
            self.rules(node, operands, output)
        except UsageError as error:
            raise UsageError(f"graph: node {node.name!r}: {error.message}", error.remedy) from None


def _same(what: str, tensor: Tensor, output: Tensor) -> None:
    if tensor.dtype != "int8" or tensor.shape != output.shape:
        raise UsageError(f"{what} must be int8 {list(output.shape)}, not {tensor}")


def _results(node: Node, channels: int, output: Tensor) -> None:
    """The type of the results fits the requantisation."""
    if node.requant is not None:
        node.requant.verify(channels, output.dtype)
    elif output.dtype != "int32":
        raise UsageError(f"{output.dtype} results need a requantisation")


def _constants(weights: Tensor, bias: Tensor, what: str, channels: int) -> None:
    """Weights are int8 of `what`, the bias is int32 [channels]; both are constants."""
    if weights.data is None or bias.data is None:
        raise UsageError("weights and bias must be constants")
    if weights.dtype != "int8":
        raise UsageError(f"weights must be int8, not {weights.dtype}")
    integers(what, weights.data, weights.data.shape, WEIGHT_MIN, WEIGHT_MAX, np.int8)
    if (bias.dtype, bias.shape) != ("int32", (channels,)):
        raise UsageError(f"bias must be int32 [{channels}], not {bias.dtype} {list(bias.shape)}")


def _linear(node: Node, operands: Sequence[Tensor], output: Tensor) -> None:
    """``output[M, N] = x[M, K] @ weights[K, N] + bias[N]``, requantised unless it is int32."""
    x, weights, bias = operands[:3]
    if x.dtype != "int8" or len(x.shape) != 2:
        raise UsageError(f"the activations must be int8 [M, K], not {x}")
    if weights.data is None or bias.data is None:
        raise UsageError("weights and bias must be constants")
    if len(weights.shape) != 2:
        raise UsageError(f"weights must be [K, N], not {list(weights.shape)}")
    k, n = weights.shape
    if x.shape[1] != k:
        raise UsageError(f"weights must be [{x.shape[1]}, N] for {x}, not {[k, n]}")
    _constants(weights, bias, "weights", int(n))
    if output.shape != (x.shape[0], n):
        raise UsageError(f"the output must be {[x.shape[0], n]}, not {list(output.shape)}")
    _results(node, int(n), output)


def _map(node: Node, x: Tensor) -> tuple[Window, tuple[int, int, int]]:
    """(window, sizes of the map) of a node that moves one over the other."""
    if x.dtype != "int8" or len(x.shape) != 3:
        raise UsageError(f"a map must be int8 [H, W, C], not {x}")
    if node.window is None:
        raise UsageError("needs a window")
    high, wide, channels = x.sizes
    return node.window, (high, wide, channels)


def _output(window: Window, size: tuple[int, int, int], channels: int, output: Tensor) -> None:
    wanted = (*window.output(*size[:2]), channels)
    if output.shape != wanted:
        raise UsageError(f"the output must be {list(wanted)}, not {list(output.shape)}")


def _conv2d(node: Node, operands: Sequence[Tensor], output: Tensor) -> None:
    """A convolution of every channel with every other; weights [kernel, kernel, C, N]."""
    x, weights, bias = operands[:3]
    window, size = _map(node, x)
    wanted = (*window.kernel, size[2])
    if len(weights.shape) != 4 or weights.shape[:3] != wanted:
        raise UsageError(f"weights must be {[*wanted, 'N']}, not {list(weights.shape)}")
    channels = int(weights.shape[3])
    _constants(weights, bias, "weights", channels)
    _output(window, size, channels, output)
    _results(node, channels, output)


def _depthwise(node: Node, operands: Sequence[Tensor], output: Tensor) -> None:
    """A convolution of each channel by itself; weights [kernel, kernel, C]."""
    x, weights, bias = operands[:3]
    window, size = _map(node, x)
    wanted = (*window.kernel, size[2])
    if weights.shape != wanted:
        raise UsageError(f"weights must be {list(wanted)}, not {list(weights.shape)}")
    _constants(weights, bias, "weights", size[2])
    _output(window, size, size[2], output)
    _results(node, size[2], output)


def _one_bias(bias: Tensor) -> None:
    """A bias that is added to the sums of all channels: a constant int32 [1]."""
    if bias.data is None or (bias.dtype, bias.shape) != ("int32", (1,)):
        raise UsageError(f"the bias of all channels must be a constant int32 [1], not {bias}")


def _pool(node: Node, operands: Sequence[Tensor], output: Tensor) -> None:
    """The sum, and a bias, or the maximum, of each channel over the window; one scale for all."""
    window, size = _map(node, operands[0])
    if node.op == "avg_pool":
        _one_bias(operands[1])
    _output(window, size, size[2], output)
    if node.requant is None:
        if node.op == "max_pool" and output.dtype == "int8":
            return
        raise UsageError("an average needs a requantisation, which divides")
    _one_scale(node)
    if output.dtype != "int8":
        raise UsageError(f"the results of a pool are int8, not {output.dtype}")
    node.requant.verify(1, output.dtype)


def _one_scale(node: Node) -> None:
    assert node.requant is not None
    if len(node.requant.multiplier) != 1:
        raise UsageError(
            f"all channels have one scale, not {len(node.requant.multiplier)} multipliers"
        )


def _add(node: Node, operands: Sequence[Tensor], output: Tensor) -> None:
    """``ADD_WEIGHT * a + bias``, requantised with a residual: the sum of two maps."""
    _same("a", operands[0], output)
    _one_bias(operands[1])
    if len(output.shape) != 3:
        raise UsageError(f"a map must be [H, W, C], not {list(output.shape)}")
    if node.requant is None or node.requant.residual_multiplier is None:
        raise UsageError("needs a requantisation with a residual")
    _one_scale(node)
    if output.dtype != "int8":
        raise UsageError(f"the results of an addition are int8, not {output.dtype}")
    node.requant.verify(1, output.dtype)


def _concat(node: Node, operands: Sequence[Tensor], output: Tensor) -> None:
    """Maps beside each other along the channels: addresses, and no operation.

    Each part is computed where it lies in the whole, so it may have no other reader.
    """
    for part in operands:
        if part.dtype != "int8" or len(part.shape) != 3 or part.shape[:2] != output.shape[:2]:
            raise UsageError(f"a part must be int8 {list(output.shape[:2])} + [C], not {part}")
    for part in operands[:-1]:
        if part.sizes[2] % PART_CHANNELS:
            raise UsageError(
                f"each part but the last must have a multiple of {PART_CHANNELS} channels, "
                f"not {part.sizes[2]}"
            )
    if node.requant is not None:
        raise UsageError("parts are not requantised")
    wanted = (*output.shape[:2], sum(part.sizes[2] for part in operands))
    if output.dtype != "int8" or output.shape != wanted:
        raise UsageError(f"the output must be int8 {list(wanted)}, not {output}")


#: By name.
OPS: Mapping[str, Op] = MappingProxyType(
    {
        "linear": Op(("activations", "weights", "bias"), _linear, takes_residual=True),
        "conv2d": Op(("map", "weights", "bias"), _conv2d, takes_residual=True),
        "depthwise": Op(("map", "weights", "bias"), _depthwise, takes_residual=True),
        "avg_pool": Op(("map", "bias"), _pool),
        "max_pool": Op(("map",), _pool),
        "add": Op(("a", "bias"), _add, takes_residual=True),
        "concat": Op(("part",), _concat, is_variadic=True),
    }
)
