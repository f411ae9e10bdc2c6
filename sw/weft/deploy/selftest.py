"""What tells a working board from a broken one: registers, DMA, a product against the emulator."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from weft.backend.emulator import EmulatorBackend
from weft.backend.pynq.backend import PynqBackend
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.errors import DeviceError
from weft.program import Program
from weft.results import Count

__all__ = ["Report", "compare", "selftest"]

#: Rows, K and N of the product: several tiles and a ragged edge on every preset.
_SHAPE = (20, 3, 5)


@dataclass(frozen=True)
class Report:
    """What one program did on a board.

    cycles : of the accelerator. seconds : of the run, driver included. accesses : of registers.
    """

    what: str
    cycles: Count
    seconds: float
    accesses: Count


def selftest(backend: PynqBackend) -> Report:
    """Check registers, then one product, element by element.

    Raises
    ------
    DeviceError
        Something differs; the message says what.
    """
    device, config = backend.device, backend.config
    for pattern in (0x5A5A_5000, 0x2525_A000):
        device.write("arena_base_low", pattern)
        found = device.read("arena_base_low")
        if found != pattern:
            raise DeviceError(
                f"register arena_base_low reads {found:#x} after {pattern:#x} was written",
                "lower the clock, or build the overlay again",
            )
    backend.unload()  # it knows nothing of these writes
    capability = config.rows | config.cols << 8 | config.weight_rows_per_cycle << 16
    if device.read("capability_array") != capability:
        raise DeviceError("the array has not the size that its config hash stands for")
    rng = np.random.default_rng(7)
    m, k, n = _SHAPE[0], _SHAPE[1] * config.rows + 5, _SHAPE[2] * config.cols - 3
    program = compile_graph(random_linear(GemmProblem(m, k, n), rng), config)
    return compare(backend, program, rng, f"product {m} x {k} x {n}")


def compare(backend: PynqBackend, program: Program, rng: np.random.Generator, what: str) -> Report:
    """Run `program` on random inputs, on the board and on the emulator.

    Raises
    ------
    DeviceError
        An element differs.
    """
    inputs = {}
    for name, spec in program.inputs.items():
        limits = np.iinfo(spec.numpy_dtype)
        inputs[name] = rng.integers(limits.min, limits.max + 1, spec.shape, spec.numpy_dtype)
    backend.load(program)
    accesses, start = backend.transport.accesses, time.perf_counter()
    found = backend.run(inputs)
    seconds = time.perf_counter() - start
    accesses = backend.transport.accesses - accesses
    with EmulatorBackend(backend.config) as emulator:
        emulator.load(program)
        wanted = emulator.run(inputs)
    for name, array in wanted.items():
        wrong = np.argwhere(array != found[name])
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            raise DeviceError(
                f"{what}: {len(wrong)} elements of {name} differ from the emulator, the first at "
                f"{at}: {found[name][at]}, not {array[at]}",
                "lower the clock, or build the overlay again",
            )
    return Report(what, backend.counters()["cycles"], seconds, accesses)
