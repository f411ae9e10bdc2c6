"""torch-int: any graph in integers, written again in torch from the documents.

Constants come from ``weft_hw.numerics``, functions never do, so that an error there cannot hide
here. An operation is a function of this file and an entry of ``ARITHMETIC``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import ToolMissing, UsageError
from weft.tools import require
from weft_hw.numerics import RESIDUAL_SHIFT, SAT_BITS, TABLE_SIZE

from .graph import Graph, Node
from .ops import ADD_WEIGHT
from .requant import Requant
from .tensor import DTYPES
from .window import Window

if TYPE_CHECKING:
    import torch

__all__ = ["ARITHMETIC", "TorchInt"]

#: Largest reduction whose int8 products have a float64 sum that is exact: 2**53 / 2**14.
_FLOAT64_TERMS = 1 << 39

Array = NDArray[np.signedinteger[Any]]
Arithmetic = Callable[["TorchInt", Node, Sequence[Any]], Any]


class TorchInt:
    """Integer graphs on torch.

    Parameters
    ----------
    device : str
        A torch device. Products run in int32 on a CPU and in float64, exactly, on CUDA.
    arithmetic : name of an operation -> called with this object, the node and its operands
        What each operation computes, as int64 tensors.

    Raises
    ------
    ToolMissing
        torch is not installed, or has no such device.
    """

    def __init__(
        self, device: str = "cpu", *, arithmetic: Mapping[str, Arithmetic] | None = None
    ) -> None:
        require("torch", what="the torch-int reference")
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ToolMissing("torch has no CUDA device here", "use device='cpu'")
        self._torch = torch
        self.device = device
        self._arithmetic = ARITHMETIC if arithmetic is None else arithmetic

    def run(
        self, graph: Graph, inputs: Mapping[str, Array], states: Mapping[str, Array] | None = None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """One run of `graph`, whose named sizes are bound by the arrays.

        Parameters
        ----------
        inputs : name -> array of the dtype and shape of that input; all of them.
        states : name -> value that a state has now; what is not given has its initial value.

        Returns
        -------
        (outputs by name, value of each state for the next run)

        Raises
        ------
        UsageError
            An input is missing, unknown, or of another kind; a size is not known; an operation is
            not written here.
        """
        if set(inputs) != set(graph.inputs):
            raise UsageError(
                f"the graph has the inputs {', '.join(graph.inputs)}, not {', '.join(inputs)}"
            )
        sizes: dict[str, int] = {}
        for name, array in inputs.items():
            wanted = graph.tensors[name]
            fits = array.dtype == DTYPES[wanted.dtype] and array.ndim == len(wanted.shape)
            for size, found in zip(wanted.shape, array.shape):
                size = sizes.setdefault(size, found) if isinstance(size, str) else size
                fits = fits and size == found
            if not fits:
                raise UsageError(
                    f"input {wanted} is not {array.dtype} {list(array.shape)}", "see the graph"
                )
        graph = graph.bind(**sizes)
        graph.require_bound()
        given: dict[str, NDArray[Any]] = {
            n: t.data for n, t in graph.tensors.items() if t.data is not None
        }
        for name in graph.states:
            given.setdefault(name, np.zeros(graph.tensors[name].sizes, np.int64))
        given |= {**inputs, **(states or {})}
        values: dict[str, torch.Tensor] = {n: self._tensor(a) for n, a in given.items()}
        for node in graph.nodes:
            if node.op not in self._arithmetic:
                raise UsageError(f"torch-int has no operation {node.op!r}", "write it there")
            operands = [values[name] for name in node.inputs]
            values[node.output] = self._arithmetic[node.op](self, node, operands)

        def array_of(name: str, kind: str) -> Array:
            return np.asarray(values[name].cpu().numpy().astype(DTYPES[kind]))

        outputs = {n: array_of(n, graph.tensors[n].dtype) for n in graph.outputs}
        kept = {s: array_of(v, graph.tensors[s].dtype) for s, v in graph.states.items()}
        return outputs, kept

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        """`array` as int64 on the device."""
        return self._torch.from_numpy(np.array(array, np.int64)).to(self.device)

    # -- operations -------------------------------------------------------------------------------

    def linear(self, node: Node, operands: Sequence[torch.Tensor]) -> torch.Tensor:
        """``x @ weights + bias`` modulo 2**32, then requantised."""
        torch = self._torch
        x, w, bias, *residual = operands
        if x.device.type == "cpu":
            total = torch.matmul(x.to(torch.int32), w.to(torch.int32)).to(torch.int64)
        else:
            if x.shape[1] > _FLOAT64_TERMS:
                raise UsageError(f"K must be at most {_FLOAT64_TERMS}, not {x.shape[1]}")
            total = torch.matmul(x.to(torch.float64), w.to(torch.float64)).to(torch.int64)
        return self._results(node, total + bias, residual)

    def _results(
        self, node: Node, total: torch.Tensor, residual: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Sums modulo 2**32, requantised where the node says so."""
        acc = self._torch.remainder(total + 2**31, 2**32) - 2**31
        return acc if node.requant is None else self.requantise(acc, node.requant, *residual)

    def convolution(self, node: Node, operands: Sequence[torch.Tensor]) -> torch.Tensor:
        """A dense convolution, or one in which each channel is by itself, of a map [H, W, C]."""
        torch = self._torch
        x, w, bias, *residual = operands
        window, groups = _window(node), 1
        kernel = w.permute(3, 2, 0, 1) if node.op == "conv2d" else w.permute(2, 0, 1)[:, None]
        if node.op == "depthwise":
            groups = w.shape[2]
        # Products are below 2**14, so float64 sums are exact up to 2**39 of them.
        total = torch.nn.functional.conv2d(
            self._bordered(x, window)[None].to(torch.float64),
            kernel.to(torch.float64),
            stride=window.stride,
            dilation=window.dilation,
            groups=groups,
        )
        return self._results(node, total[0].permute(1, 2, 0).to(torch.int64) + bias, residual)

    def average(self, node: Node, operands: Sequence[torch.Tensor]) -> torch.Tensor:
        """The sum of each channel over the window, requantised: its multiplier divides."""
        return self._results(node, self._taps(node, operands[0]).sum(0) + operands[1], ())

    def maximum(self, node: Node, operands: Sequence[torch.Tensor]) -> torch.Tensor:
        """The largest value of each channel in the window."""
        found = self._taps(node, operands[0]).amax(0)
        return found if node.requant is None else self.requantise(found, node.requant)

    def add(self, node: Node, operands: Sequence[torch.Tensor]) -> torch.Tensor:
        """``ADD_WEIGHT * a + bias`` requantised, with ``b`` as its residual."""
        a, bias, b = operands
        return self._results(node, a * ADD_WEIGHT + bias, [b])

    def concat(self, node: Node, operands: Sequence[torch.Tensor]) -> torch.Tensor:
        """Maps beside each other along the channels."""
        return self._torch.cat(list(operands), 2)

    def _bordered(self, x: torch.Tensor, window: Window) -> torch.Tensor:
        """int64 [C, H, W] of a map [H, W, C], with its border."""
        top, bottom, left, right = window.padding
        across_and_down = (left, right, top, bottom)
        return self._torch.nn.functional.pad(
            x.permute(2, 0, 1), across_and_down, value=window.value
        )

    def _taps(self, node: Node, x: torch.Tensor) -> torch.Tensor:
        """int64 [taps, OH, OW, C]: what each tap of the kernel sees."""
        window = _window(node)
        high, wide = window.output(*x.shape[:2])
        bordered = self._bordered(x, window).permute(1, 2, 0)
        (down, across), (step_y, step_x) = window.kernel, window.stride
        found = []
        for i in range(down):
            for j in range(across):
                y, z = i * window.dilation[0], j * window.dilation[1]
                rows = bordered[y : y + step_y * (high - 1) + 1 : step_y]
                found.append(rows[:, z : z + step_x * (wide - 1) + 1 : step_x])
        return self._torch.stack(found)

    def requantise(
        self, acc: torch.Tensor, by: Requant, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Scale, add the residual, round half up, add the zero point, clamp, look up; the upper
        bound wins."""
        torch = self._torch
        limit = 2 ** (SAT_BITS - 1)
        a = torch.div(acc, 2**by.pre, rounding_mode="floor")
        a = torch.clamp(a, -limit, limit - 1)
        divisor = self._tensor(2 ** np.array(by.shift, np.int64))
        scaled = a * self._tensor(by.multiplier) + torch.div(divisor, 2, rounding_mode="floor")
        if residual is not None and by.residual_multiplier is not None:
            factor = 2**RESIDUAL_SHIFT * by.residual_multiplier
            scaled = scaled + (residual - by.residual_zero_point) * factor
        y = torch.div(scaled, divisor, rounding_mode="floor") + by.zero_point
        y = torch.clamp(torch.clamp(y, min=by.low), max=by.high)
        if by.table is not None:
            y = self._tensor(by.table)[torch.remainder(y, TABLE_SIZE)]
        return y


#: By the name of the operation.
ARITHMETIC: Mapping[str, Arithmetic] = MappingProxyType(
    {
        "linear": TorchInt.linear,
        "conv2d": TorchInt.convolution,
        "depthwise": TorchInt.convolution,
        "avg_pool": TorchInt.average,
        "max_pool": TorchInt.maximum,
        "add": TorchInt.add,
        "concat": TorchInt.concat,
    }
)


def _window(node: Node) -> Window:
    assert node.window is not None
    return node.window
