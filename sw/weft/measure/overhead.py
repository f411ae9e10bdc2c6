"""A board that does nothing at once: what remains of a run's time is the driver's own.

numpy and the contract only.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from weft.backend.pynq.backend import DriverBackend
from weft.backend.pynq.transport import PynqTransport
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.results import Count, Positive
from weft_hw import registers as reg
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ISA_VERSION

__all__ = ["NullBuffer", "NullMemory", "NullRegisters", "Overhead", "overhead"]

#: M, K, N of the product: one tile row of MiniLM's first feed-forward layer.
_SHAPE = (16, 384, 1536)
_BASE = 0x1000_0000


class NullRegisters:
    """Registers that keep what is written, identify a configuration, and are always done."""

    def __init__(self, config: AcceleratorConfig) -> None:
        low, high = config.hash_words
        self.values = {
            "id": reg.IDENTIFIER,
            "isa_version": ISA_VERSION,
            "config_hash_low": low,
            "config_hash_high": high,
            "status": reg.STATUS_DONE,
        }
        self._names = {r.offset: r.name for r in reg.REGISTERS.values()}

    def read(self, offset: int) -> int:
        """Word at byte `offset`."""
        return self.values.get(self._names[offset], 0)

    def write(self, offset: int, value: int) -> None:
        """Keep a word; a remote pynq takes ints only, so nothing else passes here."""
        if type(value) is not int:
            raise TypeError(f"registers take an int, not {type(value).__name__}")
        self.values[self._names[offset]] = value


class NullBuffer(np.ndarray[Any, np.dtype[np.uint8]]):
    """A buffer of host memory that counts its transfers."""

    physical_address: int
    flushed: int
    invalidated: int
    freed: bool

    def flush(self) -> None:
        """Count."""
        self.flushed += 1

    def invalidate(self) -> None:
        """Count."""
        self.invalidated += 1

    def freebuffer(self) -> None:
        """Note it."""
        self.freed = True


class NullMemory:
    """``pynq.allocate`` of a board with 2 GiB from 0x1000_0000, of which nothing is given back."""

    def __init__(self) -> None:
        self._next = _BASE

    def __call__(self, shape: tuple[int, ...], dtype: Any) -> NullBuffer:
        buffer = np.zeros(shape, dtype).view(NullBuffer)
        buffer.physical_address = self._next
        buffer.flushed, buffer.invalidated, buffer.freed = 0, 0, False
        self._next += -(-buffer.nbytes // 4096) * 4096
        return buffer


@dataclass(frozen=True)
class Overhead:
    """Wall time of the driver, microseconds per inference.

    median_us, p95_us : wall time of one inference in the driver. accesses : of registers, each.
    """

    what: str
    runs: Positive
    median_us: float
    p95_us: float
    accesses: Count


def overhead(config: AcceleratorConfig, runs: int = 200) -> Overhead:
    """Time `runs` inferences of one product, whose device is done before it is asked."""
    m, k, n = _SHAPE
    rng = np.random.default_rng(0)
    program = compile_graph(random_linear(GemmProblem(m, k, n), rng), config)
    ip = SimpleNamespace(mmio=NullRegisters(config))
    with DriverBackend(PynqTransport(ip, NullMemory(), 100.0), config) as backend:
        backend.load(program)
        # The driver sleeps until the predicted end; nothing runs here, so that is no overhead.
        backend.transport.expected_cycles = 0
        inputs = {"a": rng.integers(-128, 128, (m, k), np.int8)}
        backend.run(inputs)
        seconds = []
        for _ in range(runs):
            backend.run(inputs)
            seconds.append(backend.cost.seconds)
        accesses = backend.cost.accesses
    median, p95 = (float(np.percentile(seconds, q)) * 1e6 for q in (50, 95))
    return Overhead(f"{m} x {k} x {n}", runs, median, p95, accesses)
