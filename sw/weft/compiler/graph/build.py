"""Makes graphs, a node at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Graph, Node
from .requant import Requant
from .tensor import Dim, Tensor

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
        kind = "int32" if requant is None else result
        inputs = (
            x,
            self._tensor(Tensor.constant(f"{name}.weights", np.asarray(weights))),
            self._tensor(Tensor.constant(f"{name}.bias", np.asarray(bias))),
        )
        shape = (self._of(x).shape[0], *np.asarray(weights).shape[1:])
        made = self._tensor(Tensor(output or name, kind, shape))
        self._nodes.append(Node(name, "linear", inputs, made, requant))
        return made

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
