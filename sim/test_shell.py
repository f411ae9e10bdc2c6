"""Programs on the design that goes into a Zynq-7000, with a stand-in for its processing system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shell_bench import shell_verilog
from test_dsp import products, run_programs
from weft.backend.rtl import build
from weft.backend.rtl.backend import RtlBackend
from weft.backend.rtl.library import Stalls
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft_hw.config import preset
from weft_hw.control.axilite import OKAY, SLVERR
from weft_hw.registers import CONTROL_START, IDENTIFIER, REGISTER_BYTES, REGISTERS

pytestmark = pytest.mark.sim

CONFIG = preset("tiny-wide")
PROGRAMS = 20
#: The last word of the register window, where there is none.
NOWHERE = REGISTER_BYTES - 4


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A small configuration with the ports of the board, simulated inside its shell."""
    folder = tmp_path_factory.mktemp("shell")
    source = folder / "shell.v"
    source.write_text(shell_verilog(CONFIG, "xc7", folder))
    return build.library_from_verilog(source, CONFIG)


@pytest.fixture(autouse=True)
def shell(library, monkeypatch) -> None:
    """The ``rtl`` backend takes the simulator of the shell."""
    monkeypatch.setattr(build, "library", lambda config, trace=False, progress=None: library)


def test_registers_and_reset():
    """Identification through M_AXI_GP0, values that stay, and a reset that clears them."""
    offset = REGISTERS["watchdog"].offset
    with RtlBackend(CONFIG) as rtl:
        simulation = rtl.simulation
        assert simulation.read_register(REGISTERS["id"].offset) == (IDENTIFIER, OKAY)
        start = simulation.read_register(offset)
        for value in range(0x1234_5678, 0x1234_5678 + 20):
            assert simulation.write_register(offset, value) == OKAY
            assert simulation.read_register(offset) == (value, OKAY)
        assert simulation.read_register(NOWHERE)[1] == SLVERR
        simulation.reset()
        assert simulation.read_register(offset) == start


def test_random_programs():
    run_programs(CONFIG, PROGRAMS)


def test_products():
    """GEMM programs through the bridge and the hard ports, equal to torch's integers."""
    products(CONFIG, [(8, 8, 8), (40, 32, 24)])


def test_a_reset_during_traffic_loses_nothing():
    """Reset 0 of the processing system in any cycle of a run: its ports live on, and what they owe
    does not become the next program, which is right.
    """
    rng = np.random.default_rng(5)
    program = compile_graph(random_linear(GemmProblem(24, 40, 24), rng), CONFIG)
    inputs = {n: rng.integers(-128, 128, s.shape, np.int8) for n, s in program.inputs.items()}
    with RtlBackend(CONFIG) as rtl:
        rtl.load(program)
        want = rtl.run(inputs)
        cycles = rtl.counters()["cycles"]
        busy = 0
        for at in range(1, cycles, max(1, cycles // 60)):
            rtl.simulation.set_stalls(Stalls.all(at, 0.3 * (at % 2)))
            rtl.device.select(program)
            rtl.device.write("control", CONTROL_START)
            rtl.simulation.run(at, until_irq=False)
            busy += not rtl.simulation.memory_idle
            rtl.simulation.reset_alone(int(rng.integers(1, 40)))
            rtl.device.written.clear()
            # The next program follows as fast as registers can be written.
            rtl.device.select(program)
            got = rtl.run(inputs)
            for name, array in want.items():
                assert np.array_equal(got[name], array), at
        assert busy > 20, "bursts were under way"
