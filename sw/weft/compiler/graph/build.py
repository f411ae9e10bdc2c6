"""Makes graphs, a node at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Graph, Node
from .requant import Requant
from .tensor import Dim, Tensor
from .window import Window

__all__ = ["Builder", "linear_layer"]


class Builder:
    """Collects tensors and nodes; every method returns the name of the tensor that it made."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._nodes: list[Node] = []
        self._inputs: list[str] = []
        self._states: dict[str, str] = {}

    def _tensor(self, tensor: Tensor) -> str:
        self._tensors.append(tensor)
        return tensor.name

    def _of(self, name: str) -> Tensor:
        return next(t for t in self._tensors if t.name == name)

    def input(self, name: str, shape: tuple[Dim, ...], dtype: str = "int8") -> str:
        """A tensor that each run gives."""
        self._inputs.append(name)
        return self._tensor(Tensor(name, dtype, shape))

    def state(
        self,
        name: str,
        shape: tuple[Dim, ...],
        dtype: str = "int8",
        data: NDArray[np.signedinteger[Any]] | None = None,
    ) -> str:
        """A tensor that is kept between runs; see :meth:`keep`. It starts with `data`, or zeros."""
        return self._tensor(Tensor(name, dtype, shape, data))

    def keep(self, state: str, value: str) -> None:
        """Let `state` have the value of tensor `value` when the next run starts."""
        self._states[state] = value

    def _constants(
        self, name: str, weights: NDArray[np.int8], bias: NDArray[np.int32]
    ) -> tuple[str, str]:
        return (
            self._tensor(Tensor.constant(f"{name}.weights", np.asarray(weights))),
            self._tensor(Tensor.constant(f"{name}.bias", np.asarray(bias))),
        )

    def _node(
        self,
        op: str,
        name: str,
        inputs: tuple[str, ...],
        shape: tuple[Dim, ...],
        requant: Requant | None,
        result: str,
        window: Window | None = None,
        output: str | None = None,
    ) -> str:
        kind = "int32" if requant is None and op != "max_pool" else result
        made = self._tensor(Tensor(output or name, kind, shape))
        self._nodes.append(Node(name, op, inputs, made, requant, window))
        return made

    def convolution(
        self,
        name: str,
        x: str,
        weights: NDArray[np.int8],
        bias: NDArray[np.int32],
        requant: Requant | None = None,
        result: str = "int8",
        *,
        window: Window | None = None,
        residual: str | None = None,
    ) -> str:
        """A convolution of map `x`: dense, or of each channel by itself; see :data:`.ops.OPS`.

        Parameters
        ----------
        x : tensor int8 [H, W, C]
        weights : int8 [kernel, kernel, C, N] (``conv2d``), or [kernel, kernel, C] (``depthwise``)
        bias : int32 [N], or [C]
        window : one that moves by a pixel, without a border, by default.
        residual : tensor int8 of the output's shape, where the requantisation has one.
        """
        taps = np.asarray(weights).shape
        op = "conv2d" if len(taps) == 4 else "depthwise"
        window = window or Window((taps[0], taps[1]))
        inputs = (x, *self._constants(name, weights, bias), *([residual] if residual else []))
        return self._over(op, name, inputs, taps[-1], requant, result, window)

    def _bias(self, name: str, value: int) -> str:
        return self._tensor(Tensor.constant(f"{name}.bias", np.array([value], np.int32)))

    def avg_pool(self, name: str, x: str, window: Window, requant: Requant, bias: int = 0) -> str:
        """The sum of each channel of map `x` over the window, and `bias`, requantised."""
        inputs = (x, self._bias(name, bias))
        return self._over(
            "avg_pool", name, inputs, self._of(x).sizes[2], requant, "int8", window
        )

    def max_pool(self, name: str, x: str, window: Window, requant: Requant | None = None) -> str:
        """The largest value of each channel of map `x` in the window."""
        channels = self._of(x).sizes[2]
        return self._over("max_pool", name, (x,), channels, requant, "int8", window)

    def _over(
        self,
        op: str,
        name: str,
        inputs: tuple[str, ...],
        channels: int,
        requant: Requant | None,
        result: str,
        window: Window,
    ) -> str:
        """A node that moves a window over the map that is its first input."""
        high, wide = self._of(inputs[0]).sizes[:2]
        shape = (*window.output(high, wide), channels)
        return self._node(op, name, inputs, shape, requant, result, window)

    def concat(self, name: str, *parts: str) -> str:
        """Maps beside each other along the channels; each is computed for this alone."""
        sizes = [self._of(part).sizes for part in parts]
        shape = (*sizes[0][:2], sum(size[2] for size in sizes))
        made = self._tensor(Tensor(name, "int8", shape))
        self._nodes.append(Node(name, "concat", parts, made))
        return made

    def add(self, name: str, a: str, b: str, requant: Requant, bias: int = 0) -> str:
        """``ADD_WEIGHT * a + bias``, requantised; `b` is the residual of `requant`."""
        inputs = (a, self._bias(name, bias), b)
        return self._node("add", name, inputs, self._of(a).shape, requant, "int8")

    def linear(
        self,
        name: str,
        x: str,
        weights: NDArray[np.int8],
        bias: NDArray[np.int32],
        requant: Requant | None = None,
        result: str = "int8",
        *,
        output: str | None = None,
    ) -> str:
        """``x @ weights + bias``; see :data:`.ops.OPS`.

        Parameters
        ----------
        x : tensor int8 [M, K]
        weights : int8 [K, N]; bias : int32 [N]
        requant : None gives int32 results
        result : "int8" or "int16", where there is a requantisation
        output : name of the result; that of the node by default.
        """
        inputs = (x, *self._constants(name, weights, bias))
        shape = (self._of(x).shape[0], *np.asarray(weights).shape[1:])
        return self._node("linear", name, inputs, shape, requant, result, output=output)

    def build(self, *outputs: str) -> Graph:
        """The graph, verified; raises UsageError."""
        return Graph(
            tensors=self._tensors,  # type: ignore[arg-type]  # any iterable is taken
            nodes=tuple(self._nodes),
            inputs=tuple(self._inputs),
            outputs=outputs,
            states=self._states,
        ).verify()


def linear_layer(
    name: str,
    weights: NDArray[np.int8],
    bias: NDArray[np.int32],
    requant: Requant | None = None,
    result: str = "int8",
    rows: Dim = "M",
) -> Graph:
    """Graph of one layer: input ``a`` int8 [rows, K], output ``out`` [rows, N]."""
    make = Builder()
    x = make.input("a", (rows, np.asarray(weights).shape[0]))
    return make.build(make.linear(name, x, weights, bias, requant, result, output="out"))
