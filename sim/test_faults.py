"""Bad programs and bad memories: each stops the core with its code, nothing outside the arena is
touched, and the core then runs a good program to the right result."""

from __future__ import annotations

import numpy as np
import pytest

from weft.backend.rtl.backend import GUARD_BYTE, GUARD_BYTES, RtlBackend
from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.requant import Requant
from weft.compiler.lower.program import compile_graph
from weft.errors import DeviceError
from weft_hw.config import PRESETS
from weft_hw.isa import (
    INSTRUCTION_BYTES,
    LAYOUTS,
    SEMAPHORE_MAX,
    ErrorCode,
    Instruction,
    Opcode,
    Space,
    encode,
    encode_program,
    space_words,
)

pytestmark = pytest.mark.sim

M, K, N = 19, 48, 40


@pytest.fixture(scope="module", params=["tiny", "tiny-wide"])
def backend(request):
    with RtlBackend(PRESETS[request.param], watchdog_cycles=3000, timeout_cycles=200_000) as rtl:
        yield rtl


@pytest.fixture(scope="module")
def job(backend):
    """A good program, its input and what it has to write."""
    rng = np.random.default_rng(7)
    weights = rng.integers(-127, 128, (K, N)).astype(np.int8)
    bias = rng.integers(-999, 999, N).astype(np.int32)
    requant = Requant(np.full(N, 70000), np.full(N, 24))
    layer = linear_layer("product", weights, bias, requant, rows=M)
    program = compile_graph(layer, backend.config)
    a = rng.integers(-128, 128, (M, K)).astype(np.int8)
    acc = a.astype(np.int64) @ weights + bias
    want = np.clip((acc * 70000 + 2**23) >> 24, -128, 127)
    return program, a, want


def good(backend, job):
    """The good program gives the right result, also after what came before."""
    program, a, want = job
    backend.load(program)
    np.testing.assert_array_equal(backend.run({"a": a})["out"], want)


def patched(backend, job, raw: bytes) -> DeviceError:
    """Run `raw` instead of the good program's instructions; the error that stops it."""
    size = job[0].arena_bytes
    backend.unload()
    backend.transport.allocate(2 * size)
    arena = backend.transport.arena
    arena[: len(raw)] = np.frombuffer(raw, np.uint8)
    # Only the first half is the arena of this run; the second is one more guard.
    arena[size:] = GUARD_BYTE
    backend.device.configure(size, 0, len(raw) // INSTRUCTION_BYTES)
    with pytest.raises(DeviceError) as caught:
        backend.device.run(backend.timeout_cycles)
    assert (arena[size:] == GUARD_BYTE).all(), "bytes past the arena were written"
    return caught.value


def load(**fields) -> Instruction:
    return Instruction(Opcode.LOAD, fields={"rows": 1, "bytes": 16, **fields})


def store(**fields) -> Instruction:
    return Instruction(Opcode.STORE, fields={"rows": 1, "bytes": 16, **fields})


def matmul(**fields) -> Instruction:
    counts = {f"count{i}": 1 for i in range(6)}
    return Instruction(Opcode.MATMUL, fields={**counts, "tile_levels": 1, "first": 1, **fields})


def depthwise(**fields) -> Instruction:
    counts = {f"count{i}": 1 for i in range(6)}
    fields = {**counts, "fire": 1, "delay1": 1, "delay2": 1, **fields}
    return Instruction(Opcode.DEPTHWISE, fields=fields)


END = Instruction(Opcode.END)


def flip(instruction: Instruction, bit: int) -> bytes:
    word = int.from_bytes(encode(instruction), "little") ^ (1 << bit)
    return word.to_bytes(INSTRUCTION_BYTES, "little")


@pytest.mark.parametrize("opcode", [0, 7, 8, 0x7F, 0xFF])
def test_illegal_opcode(backend, job, opcode):
    bad = bytes([opcode]) + bytes(INSTRUCTION_BYTES - 1)
    error = patched(backend, job, encode_program([load(), load()]) + bad + encode(END))
    assert (error.error_code, error.instruction) == (ErrorCode.BAD_OPCODE, 2)
    good(backend, job)


@pytest.mark.parametrize(
    "instruction",
    [
        load(rows=0),
        load(bytes=0),
        load(bytes=8),
        load(dram_offset=8),
        load(dram_pitch=4),
        load(chip_address=1),
        load(space=5),
        store(space=1),
        matmul(count3=0),
        matmul(tile_levels=0),
        matmul(tile_levels=6),
        matmul(reduction=1),
        matmul(transposed=1),
        depthwise(count5=0),
        depthwise(skip=1),
        depthwise(delay1=0),
        depthwise(delay2=33),
        depthwise(table=15),
        depthwise(act_address=1),
        depthwise(result_jump2=1),
        Instruction(Opcode.SETUP, fields={"result_type": 3}),
        Instruction(Opcode.SETUP, fields={"table": 15}),
        Instruction(Opcode.SETUP, fields={"per_row": 1}),
        Instruction(Opcode.SETUP, fields={"result_type": 1, "table_enable": 1}),
    ],
    ids=lambda i: f"{i.opcode.name}-" + "-".join(f"{k}={v}" for k, v in i.fields.items())[-24:],
)
def test_illegal_field(backend, job, instruction):
    error = patched(backend, job, encode_program([load(), instruction, END]))
    assert (error.error_code, error.instruction) == (ErrorCode.BAD_FIELD, 1)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_reserved_bits(backend, job, opcode):
    sample = {Opcode.LOAD: load(), Opcode.STORE: store(), Opcode.MATMUL: matmul()}
    sample[Opcode.DEPTHWISE] = depthwise()
    instruction = sample.get(opcode, Instruction(opcode))
    header = LAYOUTS[opcode]["header_reserved"]
    for bit in (header.offset, header.offset + header.width - 1, 511, LAYOUTS[opcode].used_bits):
        error = patched(backend, job, flip(instruction, bit) + encode(END))
        assert (error.error_code, error.instruction) == (ErrorCode.BAD_FIELD, 0), bit
    good(backend, job)


def test_arena_window(backend, job):
    """A byte past the end, far past the end, and so far that 32 bits wrap; reads and writes."""
    size = job[0].arena_bytes
    for make in (load, store):
        for offset, fields in (
            (size, {}),
            (size - 16, {"bytes": 32}),
            (2**32 - 16, {"bytes": 32}),
            (0, {"rows": 3, "dram_pitch": 2**31}),
            (0, {"rows": 2, "dram_pitch": 2**32 - 16}),
            (size - 32, {"rows": 3, "dram_pitch": 16}),
        ):
            bad = make(dram_offset=offset, **fields)
            error = patched(backend, job, encode_program([load(), bad, END]))
            assert (error.error_code, error.instruction) == (ErrorCode.ARENA, 1), (offset, fields)
    good(backend, job)


def test_chip_addresses(backend, job):
    """Past the end of every memory, by DMA and by MATMUL."""
    cfg = backend.config
    step = cfg.beat_bytes // 4
    bad = [
        load(space=space, chip_address=space_words(space, cfg) - (16 // 4) + step, bytes=16)
        for space in Space
    ]
    bad.append(store(chip_address=cfg.scratchpad_words))
    line = cfg.line_bytes // 4
    bad += [
        matmul(act_address=cfg.scratchpad_words - line + 1),
        matmul(count0=2, act_jump0=-line),
        matmul(last=1, result_address=cfg.scratchpad_words),
        matmul(acc_address=cfg.accumulator_rows),
        matmul(count0=2, acc_jump0=-1),
        matmul(weight_address=cfg.weight_words - cfg.tile_words + 1),
        matmul(parameter_address=cfg.parameter_entries // 2 - cfg.cols // 2 + 1),
        depthwise(act_address=cfg.scratchpad_words),
        depthwise(count1=2, act_jump1=-line),
        depthwise(result_address=cfg.scratchpad_words),
        depthwise(tap_address=cfg.tap_words - 3),
    ]
    for instruction in bad:
        error = patched(backend, job, encode_program([load(), instruction, END]))
        assert (error.error_code, error.instruction) == (ErrorCode.ADDRESS, 1), instruction
    good(backend, job)


def test_semaphore_overflow(backend, job):
    """One post too many; SETUPs are the cheapest instructions that post."""
    posts = [Instruction(Opcode.SETUP, posts=(3, 4))] * (SEMAPHORE_MAX + 1)
    error = patched(backend, job, encode_program([*posts, END]))
    assert error.error_code == ErrorCode.SEMAPHORE
    good(backend, job)


def test_program_without_end(backend, job):
    error = patched(backend, job, encode_program([load(), load()]))
    assert error.error_code == ErrorCode.PROGRAM_END
    good(backend, job)


def test_deadlock_meets_the_watchdog(backend, job):
    waiting = Instruction(Opcode.STORE, waits=(5,), fields={"rows": 1, "bytes": 16})
    error = patched(backend, job, encode_program([load(), waiting, END]))
    assert error.error_code == ErrorCode.WATCHDOG
    good(backend, job)


@pytest.mark.parametrize("response", [2, 3], ids=["slverr", "decerr"])
def test_read_error(backend, job, response):
    """An error answer anywhere in the input stops the core; the memory keeps its other bytes."""
    program, a, _ = job
    spec = program.inputs["a"]
    for row in (0, M // 2, M - 1):
        backend.load(program)
        start = GUARD_BYTES + spec.offset + row * spec.pitches[0]
        backend.simulation.add_fault(start, start + 1, response, reads=True)
        with pytest.raises(DeviceError) as caught:
            backend.run({"a": a})
        assert caught.value.error_code == ErrorCode.BUS_READ
        failing = program.instructions[caught.value.instruction]
        assert failing.opcode is Opcode.LOAD
        assert failing["dram_offset"] <= spec.offset + row * spec.pitches[0]
        backend.simulation.clear_faults()
        good(backend, job)


@pytest.mark.parametrize("response", [2, 3], ids=["slverr", "decerr"])
def test_write_error(backend, job, response):
    program, a, _ = job
    spec = program.outputs["out"]
    for row in (0, M - 1):
        backend.load(program)
        start = GUARD_BYTES + spec.offset + row * spec.pitches[0]
        backend.simulation.add_fault(start, start + 1, response, writes=True)
        with pytest.raises(DeviceError) as caught:
            backend.run({"a": a})
        assert caught.value.error_code == ErrorCode.BUS_WRITE
        assert program.instructions[caught.value.instruction].opcode is Opcode.STORE
        backend.simulation.clear_faults()
        good(backend, job)


@pytest.mark.parametrize("reads,writes", [(0, None), (3, None), (None, 0), (None, 1)])
def test_memory_that_never_answers(backend, job, reads, writes):
    """The watchdog stops the core; a start is refused until the late answers came; none is taken
    for an answer of the new run."""
    program, a, _ = job
    backend.load(program)
    backend.simulation.hang(reads_from=reads, writes_from=writes)
    with pytest.raises(DeviceError) as caught:
        backend.run({"a": a})
    assert caught.value.error_code == ErrorCode.WATCHDOG
    with pytest.raises(DeviceError, match="bus is not idle"):
        backend.run({"a": a})
    backend.simulation.clear_faults()
    good(backend, job)


def test_reset_in_mid_flight(backend, job):
    """A soft reset at any time leaves a usable core and intact guards."""
    program, a, _ = job
    for cycles in (*range(20, 200, 9), *range(200, 900, 53)):
        backend.load(program)
        program.inputs["a"].write(backend.transport.arena, a)
        backend.device.start()
        backend.simulation.run(cycles, until_irq=False)
        backend.device.reset()
        backend.transport.check()
    good(backend, job)
