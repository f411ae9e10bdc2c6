"""Programs on the Verilated accelerator: results, faults, and a good program after each fault."""

from __future__ import annotations

import numpy as np
import pytest

from weft import tools
from weft.backend.base import BackendUnavailable
from weft.backend.emulator import EmulatorBackend
from weft.backend.rtl.backend import GUARD_BYTES, RtlBackend
from weft.backend.rtl.library import DECERR, SLVERR, ProtocolError, Stalls
from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.requant import Requant
from weft.compiler.lower.program import compile_graph
from weft.dram import memory_of
from weft.errors import DeviceError, Mismatch, UsageError
from weft_hw.config import preset
from weft_hw.isa import LAYOUTS, ErrorCode, Opcode, Unit
from weft_hw.registers import COUNTERS

MISSING = "; ".join(tools.missing_for_simulation())
needs_tools = pytest.mark.skipif(bool(MISSING), reason=MISSING)
pytestmark = [pytest.mark.sim, pytest.mark.slow, needs_tools, pytest.mark.timeout(900)]

SHAPE = (24, 48, 32)


def gemm(config, shape=SHAPE, seed=0):
    """(program, inputs, outputs and memory of the emulator)."""
    m, k, n = shape
    random = np.random.default_rng(seed)
    layer = linear_layer(
        "product",
        random.integers(-127, 128, (k, n), dtype=np.int8),
        random.integers(-4000, 4000, n, dtype=np.int32),
        Requant(random.integers(20_000, 1 << 17, n), random.integers(20, 25, n)),
        rows=m,
    )
    program = compile_graph(layer, config)
    inputs = {"a": random.integers(-128, 128, (m, k), dtype=np.int8)}
    with EmulatorBackend(config) as emulator:
        emulator.load(program)
        return program, inputs, emulator.run(inputs)["out"], emulator.memory()


@pytest.fixture(scope="module", params=["tiny", "tiny-wide"])
def config(request):
    return preset(request.param)


@pytest.fixture(scope="module")
def case(config):
    return gemm(config)


@pytest.fixture
def rtl(config, case):
    with RtlBackend(config, watchdog_cycles=3000, timeout_cycles=200_000) as backend:
        backend.load(case[0])
        yield backend


def runs_well(backend, case):
    """A good program gives every element, and leaves the memory that the emulator leaves."""
    _, inputs, expected, memory = case
    assert np.array_equal(backend.run(inputs)["out"], expected)
    assert backend.memory() == memory


def index_of(program, opcode):
    return next(i for i, x in enumerate(program.instructions) if x.opcode is opcode)


def test_results_memory_and_counters(rtl, case):
    runs_well(rtl, case)
    counters = rtl.counters()
    program = case[0]
    assert list(counters) == list(COUNTERS)
    assert counters["instructions"] == len(program.instructions)
    stats, beat = rtl.simulation.stats, rtl.config.beat_bytes
    assert (counters["beats_read"] + counters["beats_fetched"]) * beat == stats.read_bytes
    assert counters["beats_written"] * beat >= stats.written_bytes
    assert stats.written_bytes >= program.metadata["bytes_written"]
    runs_well(rtl, case)
    assert rtl.counters() == counters, "the same program takes the same time"
    assert rtl.counts_cycles


@pytest.mark.parametrize("seed", [1, 2])
def test_random_stalls_change_nothing_but_the_time(rtl, case, seed):
    runs_well(rtl, case)
    calm = rtl.counters()
    rtl.simulation.set_stalls(Stalls.all(seed, 0.4))
    runs_well(rtl, case)
    stalled = rtl.counters()
    assert stalled["cycles"] > calm["cycles"]
    for name in ("instructions", "array_rows", "beats_read", "beats_fetched", "beats_written"):
        assert stalled[name] == calm[name], name


def test_doubled_latency(config, case):
    model = memory_of(config).with_latency_factor(2)
    with RtlBackend(config, model) as slow, RtlBackend(config) as fast:
        for backend in (slow, fast):
            backend.load(case[0])
            runs_well(backend, case)
        gained = slow.counters()["cycles"] - fast.counters()["cycles"]
        assert gained >= memory_of(config).read_latency


def test_a_larger_program_gets_a_larger_memory(rtl, case, config):
    runs_well(rtl, case)
    larger = gemm(config, (96, 64, 64), seed=3)
    assert larger[0].arena_bytes > case[0].arena_bytes
    for one in (larger, case):
        rtl.load(one[0])
        runs_well(rtl, one)


@pytest.mark.parametrize("response", [SLVERR, DECERR])
def test_read_error_of_an_operand(rtl, case, response):
    spec = case[0].inputs["a"]
    rtl.simulation.add_fault(
        GUARD_BYTES + spec.offset, GUARD_BYTES + spec.offset + 1, response, reads=True
    )
    with pytest.raises(DeviceError, match=r"BUS_READ .* at instruction \d+ \(load ") as caught:
        rtl.run(case[1])
    assert caught.value.error_code == ErrorCode.BUS_READ
    assert case[0].instructions[caught.value.instruction].opcode is Opcode.LOAD
    rtl.simulation.clear_faults()
    runs_well(rtl, case)


def test_read_error_of_an_instruction(rtl, case):
    at = GUARD_BYTES + case[0].program_offset
    rtl.simulation.add_fault(at, at + 1, SLVERR, reads=True)
    with pytest.raises(DeviceError) as caught:
        rtl.run(case[1])
    assert (caught.value.error_code, caught.value.instruction) == (ErrorCode.BUS_READ, -1)
    rtl.simulation.clear_faults()
    runs_well(rtl, case)


@pytest.mark.parametrize("response", [SLVERR, DECERR])
def test_write_error(rtl, case, response):
    spec = case[0].outputs["out"]
    rtl.simulation.add_fault(
        GUARD_BYTES + spec.offset, GUARD_BYTES + spec.offset + 1, response, writes=True
    )
    with pytest.raises(DeviceError, match=r"BUS_WRITE .* at instruction \d+ \(store ") as caught:
        rtl.run(case[1])
    assert caught.value.error_code == ErrorCode.BUS_WRITE
    rtl.simulation.clear_faults()
    runs_well(rtl, case)


@pytest.mark.parametrize("what", ["reads_from", "writes_from"])
@pytest.mark.parametrize("burst", [0, 2])
def test_a_memory_that_stops_answering(rtl, case, what, burst):
    """The watchdog stops the core; it starts again when, and not before, the bus is clean."""
    rtl.simulation.hang(**{what: burst})
    with pytest.raises(DeviceError, match="WATCHDOG") as caught:
        rtl.run(case[1])
    assert caught.value.error_code == ErrorCode.WATCHDOG
    with pytest.raises(DeviceError, match="the bus is not idle after a soft reset"):
        rtl.run(case[1])
    rtl.simulation.clear_faults()
    runs_well(rtl, case)


def test_the_arena_limit_stops_every_access_beyond_it(rtl, case):
    program = case[0]
    limit = program.outputs["out"].offset
    end = max(limit, program.inputs["a"].offset)
    rtl.device.configure(end, program.program_offset, len(program.instructions))
    rtl.simulation.set_window(GUARD_BYTES, GUARD_BYTES + end)
    rtl.transport.arena[end:] = 0xC3
    with pytest.raises(DeviceError, match="ARENA") as caught:
        rtl.device.run(200_000)
    assert caught.value.error_code == ErrorCode.ARENA
    assert (rtl.transport.arena[end:] == 0xC3).all()
    rtl.unload()
    rtl.load(program)
    runs_well(rtl, case)


def test_a_program_without_its_end(rtl, case):
    program = case[0]
    length = len(program.instructions) - 1
    rtl.device.configure(program.arena_bytes, program.program_offset, length)
    with pytest.raises(DeviceError) as caught:
        rtl.run(case[1])
    assert caught.value.error_code == ErrorCode.PROGRAM_END
    rtl.load(program)
    runs_well(rtl, case)


@pytest.mark.parametrize("unit", [Unit.LOAD, Unit.COMPUTE, Unit.STORE])
def test_a_bad_field_of_each_unit(rtl, case, unit):
    """A count, or a number of rows, of zero: refused with the index, and nothing hangs."""
    program = case[0]
    opcode = {Unit.LOAD: Opcode.LOAD, Unit.COMPUTE: Opcode.MATMUL, Unit.STORE: Opcode.STORE}[unit]
    index = index_of(program, opcode)
    arena = rtl.transport.arena
    field = LAYOUTS[opcode]["count0" if unit is Unit.COMPUTE else "rows"]
    at = program.program_offset + 64 * index
    right = arena[at : at + 64].copy()
    word = int.from_bytes(right.tobytes(), "little")
    word &= ~(((1 << field.width) - 1) << field.offset)
    arena[at : at + 64] = np.frombuffer(word.to_bytes(64, "little"), np.uint8)
    with pytest.raises(DeviceError) as caught:
        rtl.device.run(200_000)
    assert (caught.value.error_code, caught.value.instruction) == (ErrorCode.BAD_FIELD, index)
    arena[at : at + 64] = right
    runs_well(rtl, case)


def test_guard_bytes_are_looked_at(rtl, case):
    for at in (17, -5):
        rtl.simulation.memory[at] = 0
        address = rtl.simulation.base + at % len(rtl.simulation.memory)
        with pytest.raises(ProtocolError, match=f"^1 guard bytes .* first at address {address:#x}"):
            rtl.run(case[1])
        runs_well(rtl, case)


def test_misuse(config, rtl, case):
    with pytest.raises(UsageError, match="^input 'a' is missing"):
        rtl.run({})
    with pytest.raises(UsageError, match="^the program has no input 'b'; its inputs are: a$"):
        rtl.run({**case[1], "b": case[1]["a"]})
    with pytest.raises(Mismatch, match=preset("kv260").hash):
        rtl.load(gemm(preset("kv260"), (1, 16, 32))[0])
    with pytest.raises(UsageError, match="^the rtl backend has no program; call load"):
        rtl.run(case[1])
    rtl.close()
    rtl.close()


def test_no_compiler(config, monkeypatch):
    which = tools.shutil.which
    monkeypatch.setattr(tools.shutil, "which", lambda n: None if n == "g++" else which(n))
    with pytest.raises(BackendUnavailable, match="rtl backend cannot start: g.. is not on PATH"):
        RtlBackend(config)
