"""What tells a working board from a broken one: registers, DMA, a product against the emulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from weft.backend.emulator import EmulatorBackend
from weft.backend.pynq.backend import BoardBackend
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.errors import DeviceError
from weft.program import Program
from weft.results import Count, NonNegative

__all__ = ["BoardReport", "check", "selftest"]

#: Rows, K and N of the product: several tiles and a ragged edge on every preset.
_SHAPE = (20, 3, 5)


@dataclass(frozen=True)
class BoardReport:
    """A program on a board.

    cycles : of the accelerator. seconds : of the run, driver included. accesses : of registers.
    accelerator_ms : cycles / clock. board : what the board calls itself.
    label : whether cycles were counted by a simulation or by a board.
    """

    what: str
    cycles: Count
    seconds: float
    accesses: Count
    accelerator_ms: NonNegative
    board: str
    label: Literal["simulated", "measured"]
    clock_mhz: float


def check(backend: BoardBackend, program: Program, what: str) -> list[BoardReport]:
    """The self-test of the board, then `program` on random inputs against the emulator.

    Raises
    ------
    DeviceError
        Something differs; the message says what.
    """
    return [selftest(backend), _compare(backend, program, np.random.default_rng(0), what)]


def selftest(backend: BoardBackend) -> BoardReport:
    """Check registers, then one product, element by element.

    Raises
    ------
    DeviceError
        Something differs; the message says what.
    """
    backend.check_registers()
    config = backend.config
    rng = np.random.default_rng(7)
    m, k, n = _SHAPE[0], _SHAPE[1] * config.rows + 5, _SHAPE[2] * config.cols - 3
    program = compile_graph(random_linear(GemmProblem(m, k, n), rng), config)
    return _compare(backend, program, rng, f"product {m} x {k} x {n}")


def _compare(
    backend: BoardBackend, program: Program, rng: np.random.Generator, what: str
) -> BoardReport:
    """Run `program` on random inputs, on the board and on the emulator."""
    inputs = {}
    for name, spec in program.inputs.items():
        limits = np.iinfo(spec.numpy_dtype)
        inputs[name] = rng.integers(limits.min, limits.max + 1, spec.shape, spec.numpy_dtype)
    backend.load(program)
    found = backend.run(inputs)
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
    cycles = backend.counters()["cycles"]
    return BoardReport(
        what=what,
        cycles=cycles,
        seconds=backend.cost.seconds,
        accesses=backend.cost.accesses,
        accelerator_ms=cycles / backend.clock_mhz / 1000,
        board=backend.board,
        label="simulated" if backend.virtual else "measured",
        clock_mhz=backend.clock_mhz,
    )
