"""Runs quantised linear layers on a backend: one product per call, programs compiled once.

numpy only, unless the backend is torch-int.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.backend.base import Backend
from weft.compiler.graph.matmul import GemmConstants, GemmProblem
from weft.compiler.lower.program import compile_gemm
from weft.compiler.quantise.linear import QuantisedLinear
from weft.compiler.schedule.search import Schedule, schedule_gemm
from weft.dram import MemoryModel, memory_of, roofline_cycles
from weft.errors import Unsupported, UsageError
from weft.measure.bench import open_backend
from weft.program import Program
from weft.verify import verify
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ResultType

__all__ = ["BACKENDS", "MAX_ROWS", "Engine", "GemmRun", "bucket", "constants_of"]

#: Backends that linear layers can run on.
BACKENDS = ("rtl", "emulator", "pynq", "torch-int")
#: Rows of one product at most; more are divided.
MAX_ROWS = 4096
#: Programs that are kept, the oldest goes first; each holds its layer's weights.
MAX_PROGRAMS = 512


def constants_of(layer: QuantisedLinear) -> GemmConstants:
    """The layer's integers as the compiler takes them."""
    output = layer.output
    return GemmConstants(
        weights=layer.weights,
        bias=layer.bias,
        multiplier=layer.multiplier,
        shift=layer.shift,
        pre=layer.pre,
        zero_point=output.zero_point if output else 0,
        low=output.low if output else 0,
        high=output.high if output else 0,
    )


def bucket(rows: int, grain: int) -> int:
    """Rows that a product of `rows` rows is padded to, so that few programs serve all lengths.

    A multiple of `grain`, the rows for which a tile takes the same time anyway, and of an eighth of
    the power of two below: at most an eighth is added to long products.
    """
    step = max(grain, 1 << max(0, (rows - 1).bit_length() - 4))
    return -(-rows // step) * step


@lru_cache(maxsize=256)
def _schedule(config: AcceleratorConfig, problem: GemmProblem, memory: MemoryModel) -> Schedule:
    """The schedule of a shape, which all layers of this shape share."""
    return schedule_gemm(config, problem, memory)


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


@dataclass(frozen=True)
class _Layer:
    constants: GemmConstants
    result: ResultType


class Engine:
    """Linear layers on one backend.

    Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    config : AcceleratorConfig
    backend : "rtl", "emulator", "pynq" or "torch-int"
        "pynq" is the board that ``$WEFT_BOARD`` and ``$WEFT_OVERLAY`` name.
    device : Backend, optional
        An open backend for the same configuration, which is used instead, and closed at the end.
    progress : callable, optional
        Told what a build of the simulator does.

    Raises
    ------
    UsageError
        An unknown backend.
    ToolMissing
        The backend is not installed.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        backend: str = "emulator",
        *,
        device: Backend | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise UsageError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
        self.config, self.backend = config, backend
        self.memory_model = memory_of(config)
        self._torch = None
        self._device = device
        if device is None and backend == "torch-int":
            from weft.compiler.graph.reference import TorchInt

            self._torch = TorchInt()
        elif device is None and backend == "pynq":
            from weft.backend.pynq.process import open_pynq

            self._device = open_pynq(config)
        elif device is None:
            self._device = open_backend(config, backend, self.memory_model, progress)
        self._layers: dict[str, _Layer] = {}
        self._programs: OrderedDict[tuple[str, int], Program] = OrderedDict()
        #: Products since the last :meth:`reset`.
        self.runs: list[GemmRun] = []
        #: Seconds of wall time in :meth:`run` since the last reset, compilation included.
        self.seconds = 0.0
        #: Called with (layer, int8 [M, K], results [M, N]) after each product.
        self.record: Callable[[str, NDArray[np.int8], NDArray[Any]], None] | None = None

    def add(self, layer: QuantisedLinear) -> None:
        """Make `layer` known under its name; a layer of this name is replaced.

        Raises
        ------
        Unsupported
            It does not fit the accelerator; the sentence names it.
        """
        entry = _Layer(constants_of(layer), ResultType[layer.result.upper()])
        k, n = layer.weights.shape
        try:
            problem = GemmProblem(self.config.tile_words, k, n, entry.result)
            if self._device is not None:
                _schedule(self.config, problem, self.memory_model)
        except (Unsupported, UsageError) as error:
            raise Unsupported(
                f"layer {layer.name!r}: {error.message}",
                f"keep it in float (--keep-float {layer.name}), or choose a larger preset",
            ) from None
        self._layers[layer.name] = entry
        for key in [key for key in self._programs if key[0] == layer.name]:
            del self._programs[key]

    def reset(self) -> None:
        """Forget the measurements."""
        self.runs, self.seconds = [], 0.0

    def run(self, name: str, x: NDArray[np.int8]) -> NDArray[np.signedinteger[Any]]:
        """Results [M, N] of the layer `name` for the activations `x`, int8 [M, K], M > 0.

        Raises
        ------
        UsageError
            The layer is unknown, or `x` has another shape.
        """
        if name not in self._layers:
            raise UsageError(f"the engine has no layer {name!r}", "call add(layer) first")
        k = len(self._layers[name].constants.weights)
        if x.ndim != 2 or x.shape[1] != k or not len(x):
            raise UsageError(f"layer {name!r} needs activations [M, {k}], not {list(x.shape)}")
        started = time.perf_counter()
        parts = [self._run(name, x[at : at + MAX_ROWS]) for at in range(0, len(x), MAX_ROWS)]
        y = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self.seconds += time.perf_counter() - started
        if self.record is not None:
            self.record(name, x, y)
        return y

    def _run(self, name: str, x: NDArray[np.int8]) -> NDArray[np.signedinteger[Any]]:
        layer, (m, k) = self._layers[name], x.shape
        n = layer.constants.weights.shape[1]
        real = GemmProblem(m, k, n, layer.result)
        roofline = roofline_cycles(
            self.config, self.memory_model, real.macs, real.bytes_read, real.bytes_written
        )
        if self._device is None:
            self.runs.append(GemmRun(name, m, m, k, n, None, None, roofline, None, None))
            return self._by_torch(layer, x)
        rows = bucket(m, self.config.tile_words)
        program = self._program(name, rows)
        padded = np.zeros((rows, k), np.int8)
        padded[:m] = x
        self._device.load(program)
        y = self._device.run({"a": padded})["out"][:m]
        counters, beat = self._device.counters(), self.config.beat_bytes
        self.runs.append(
            GemmRun(
                *(name, m, rows, k, n),
                cycles=counters.get("cycles"),
                predicted_cycles=int(program.metadata["predicted_cycles"]),
                roofline_cycles=roofline,
                bytes_read=counters["beats_read"] * beat,
                bytes_written=counters["beats_written"] * beat,
            )
        )
        return y

    def _by_torch(self, layer: _Layer, x: NDArray[np.int8]) -> NDArray[Any]:
        assert self._torch is not None
        c = layer.constants
        return self._torch.gemm(
            x,
            c.weights,
            c.bias,
            result=layer.result.name.lower(),
            multiplier=c.multiplier,
            shift=c.shift,
            pre=c.pre,
            zero_point=c.zero_point,
            low=c.low,
            high=c.high,
        )

    def _program(self, name: str, rows: int) -> Program:
        key = (name, rows)
        if key in self._programs:
            self._programs.move_to_end(key)
            return self._programs[key]
        layer = self._layers[name]
        k, n = layer.constants.weights.shape
        problem = GemmProblem(rows, k, n, layer.result)
        schedule = _schedule(self.config, problem, self.memory_model)
        program = compile_gemm(
            self.config, problem, layer.constants, self.memory_model, schedule=schedule
        )
        verify(program)
        self._programs[key] = program
        if len(self._programs) > MAX_PROGRAMS:
            self._programs.popitem(last=False)
        return program

    def close(self) -> None:
        """Give the backend back."""
        if self._device is not None:
            self._device.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
