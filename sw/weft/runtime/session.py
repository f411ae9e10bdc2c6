"""Runs quantised layers on a backend: one program per layer and length, compiled once.

numpy only, unless the backend is torch-int.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.backend.base import Backend
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.lower.choose import scheduled
from weft.compiler.lower.program import compile_graph
from weft.dram import MemoryModel
from weft.errors import Unsupported, UsageError
from weft.program import Program
from weft.verify import verify
from weft_hw.config import AcceleratorConfig

__all__ = ["MAX_ROWS", "GemmRun", "Session", "bucket", "check_fit"]

#: Rows of one product at most; more are divided.
MAX_ROWS = 4096
#: Programs that are kept, the oldest goes first; each holds its layer's weights.
MAX_PROGRAMS = 512


def bucket(rows: int, grain: int) -> int:
    """Rows that a product of `rows` rows is padded to, so that few programs serve all lengths.

    A multiple of `grain`, the rows for which a tile takes the same time anyway, and of an eighth of
    the power of two below: at most an eighth is added to long products.
    """
    step = max(grain, 1 << max(0, (rows - 1).bit_length() - 4))
    return -(-rows // step) * step


def check_fit(name: str, graph: Graph, config: AcceleratorConfig, memory: MemoryModel) -> None:
    """Refuse a layer that has no schedule on `config`.

    Raises
    ------
    Unsupported
        The sentence names the layer, what does not fit, and the remedy.
    """
    try:
        bound = graph.bind(M=config.tile_words)
        scheduled(config, GemmProblem.of(bound, bound.nodes[0]), memory)
    except (Unsupported, UsageError) as error:
        raise Unsupported(
            f"layer {name!r}: {error.message}",
            f"keep it in float: keep_float=[{name!r}], or choose a larger preset",
        ) from None


@dataclass(frozen=True)
class GemmRun:
    """One product: layer, its shape, and what the backend counted; None without a clock.

    m : rows with activations; padded_m : rows of the program. roofline_cycles counts m rows.
    bytes_read, bytes_written : on the bus, parameters included, program not; None in torch.
    """

    layer: str
    m: int
    padded_m: int
    k: int
    n: int
    cycles: int | None
    predicted_cycles: int | None
    roofline_cycles: float
    bytes_read: int | None
    bytes_written: int | None


class Session:
    """Layers on one backend. Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    device : Backend
        Open; closed with the session.
    memory : MemoryModel
        The DRAM that schedules are chosen for.
    """

    def __init__(self, device: Backend[Any], memory: MemoryModel) -> None:
        self.device, self.memory_model = device, memory
        self.config, self.backend = device.config, device.name
        self._layers: dict[str, Graph] = {}
        self._programs: OrderedDict[tuple[str, int], Program] = OrderedDict()
        #: Products since the last :meth:`reset`.
        self.runs: list[GemmRun] = []
        #: Seconds of wall time in :meth:`run` since the last reset, compilation included.
        self.seconds = 0.0
        #: Called with (layer, int8 [M, K], results [M, N]) after each product.
        self.record: Callable[[str, NDArray[np.int8], NDArray[Any]], None] | None = None

    def add(self, name: str, graph: Graph) -> None:
        """Make a layer known under `name`; a layer of this name is replaced.

        Parameters
        ----------
        graph : one node, input ``a`` int8 [M, K], output ``out`` [M, N], M not bound.

        Raises
        ------
        Unsupported
            It does not fit the accelerator; the sentence names it.
        """
        if self.device.takes == "program":
            check_fit(name, graph, self.config, self.memory_model)
        with self.device.exclusive:
            self._layers[name] = graph
            for key in [key for key in self._programs if key[0] == name]:
                self.device.unload(self._programs.pop(key))

    def reset(self) -> None:
        """Forget the measurements."""
        self.runs, self.seconds = [], 0.0

    def run(self, name: str, x: NDArray[np.int8]) -> NDArray[np.signedinteger[Any]]:
        """Results [M, N] of the layer `name` for the activations `x`, int8 [M, K], M > 0.

        Any thread may call it; the device does one product after the other.

        Raises
        ------
        UsageError
            The layer is unknown, `x` has another dtype or shape, or the session is closed.
        """
        if name not in self._layers:
            raise UsageError(f"the session has no layer {name!r}", "call add(name, graph) first")
        k = self._layers[name].tensors["a"].shape[1]
        if x.dtype != np.int8 or x.ndim != 2 or x.shape[1] != k or not len(x):
            raise UsageError(
                f"layer {name!r} needs activations int8 [M, {k}], not {x.dtype} {list(x.shape)}"
            )
        with self.device.exclusive:
            self.device.require_open()
            started = time.perf_counter()
            parts = [self._run(name, x[at : at + MAX_ROWS]) for at in range(0, len(x), MAX_ROWS)]
            y = parts[0] if len(parts) == 1 else np.concatenate(parts)
            self.seconds += time.perf_counter() - started
            if self.record is not None:
                self.record(name, x, y)
            return y

    def _run(self, name: str, x: NDArray[np.int8]) -> NDArray[np.signedinteger[Any]]:
        m = len(x)
        on_chip = self.device.takes == "program"
        rows = bucket(m, self.config.tile_words) if on_chip else m
        real = self._layers[name].bind(M=m)
        p = GemmProblem.of(real, real.nodes[0])
        predicted = None
        if on_chip:
            program = self._program(name, rows)
            predicted = int(program.metadata["predicted_cycles"])
            self.device.load(program)
            padded = np.zeros((rows, p.k), np.int8)
            padded[:m] = x
        else:
            self.device.load(real)
            padded = x
        y = self.device.run({"a": padded})["out"][:m]
        counters, beat = self.device.counters(), self.config.beat_bytes
        self.runs.append(
            GemmRun(
                layer=name,
                m=m,
                padded_m=rows,
                k=p.k,
                n=p.n,
                cycles=counters.get("cycles"),
                predicted_cycles=predicted,
                roofline_cycles=p.roofline(self.config, self.memory_model),
                bytes_read=counters["beats_read"] * beat if on_chip else None,
                bytes_written=counters["beats_written"] * beat if on_chip else None,
            )
        )
        return y

    def _program(self, name: str, rows: int) -> Program:
        key = (name, rows)
        if key in self._programs:
            self._programs.move_to_end(key)
            return self._programs[key]
        program = compile_graph(self._layers[name].bind(M=rows), self.config, self.memory_model)
        verify(program)
        self._programs[key] = program
        if len(self._programs) > MAX_PROGRAMS:
            self.device.unload(self._programs.popitem(last=False)[1])
        return program

    def close(self) -> None:
        """Give the backend back."""
        self.device.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
