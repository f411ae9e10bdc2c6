"""torch-int as a device: it takes the graph itself, and needs no program."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weft.compiler.graph.graph import Graph
from weft.compiler.graph.reference import TorchInt
from weft.compiler.graph.tensor import DTYPES
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig

from .base import Array, Backend

__all__ = ["ReferenceBackend"]


class ReferenceBackend(Backend[Graph]):
    """Run graphs on torch; what every other backend must be equal to.

    Parameters
    ----------
    config : AcceleratorConfig
        What it stands in for; the arithmetic does not depend on it.

    Raises
    ------
    ToolMissing
        torch is not installed.
    """

    name = "torch-int"
    takes = "graph"

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(config)
        self._torch = TorchInt()
        #: State values of each graph that is held, by identity; a graph is frozen.
        self._states: dict[int, tuple[Graph, dict[str, Array]]] = {}

    def load(self, program: Graph) -> None:
        self._program = program
        if program.states:
            self._states.setdefault(id(program), (program, {}))

    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        graph = self.program
        if patches:
            raise UsageError(f"a graph has no patches, not {', '.join(patches)}")
        _, states = self._states.get(id(graph), (graph, {}))
        outputs, after = self._torch.run(graph, inputs, states)
        states.update(after)
        return outputs

    def read_state(self, name: str) -> Array:
        graph = self.program
        if name not in graph.states:
            known = ", ".join(graph.states) or "none"
            raise UsageError(f"the graph has no state {name!r}", f"its states are: {known}")
        _, states = self._states[id(graph)]
        if name in states:
            return states[name]
        tensor = graph.tensors[name]
        start = np.zeros(tensor.sizes, DTYPES[tensor.dtype]) if tensor.data is None else tensor.data
        return np.array(start, DTYPES[tensor.dtype])

    def reset(self) -> None:
        self._states.pop(id(self.program), None)
        self.load(self.program)

    def unload(self, program: Graph | None = None) -> None:
        if program is None:
            self._states.clear()
        else:
            self._states.pop(id(program), None)
        if program is None or program is self._program:
            self._program = None

    def counters(self) -> dict[str, int]:
        return {}

    def memory(self) -> bytes:
        raise UsageError("torch-int has no arena", "ask a backend that runs programs")
