"""The whole control block, from the doorbell to done, against fake memory and units."""

import random

import pytest

from control_bench import UNIT_NAMES, random_program, run_program
from weft_hw.config import PRESETS
from weft_hw.isa import ErrorCode, Instruction, Opcode, encode, encode_program
from weft_hw.registers import STATUS_DONE, STATUS_ERROR

TINY, KV260 = PRESETS["tiny"], PRESETS["kv260"]
END = Instruction(Opcode.END)
LOAD = {"rows": 1, "bytes": 16}


def gemm() -> list[Instruction]:
    """The instructions of a one-tile job: loads, a setup, a multiplication, a store, the end."""
    counts = {f"count{i}": 1 for i in range(6)}
    return [
        Instruction(Opcode.LOAD, (), (0,), LOAD),
        Instruction(Opcode.LOAD, (), (0,), {**LOAD, "space": 1}),
        Instruction(Opcode.LOAD, (), (0,), {**LOAD, "space": 2}),
        Instruction(Opcode.SETUP),
        Instruction(Opcode.MATMUL, (0, 0, 0), (1,), {**counts, "tile_levels": 1}),
        Instruction(Opcode.STORE, (1,), (), LOAD),
        END,
    ]


def check_order(bench, program):
    """Every unit got its instructions in order and intact, and no wait was overtaken."""
    for unit in UNIT_NAMES:
        expected = [
            (i, int.from_bytes(encode(x), "little"))
            for i, x in enumerate(program)
            if x.unit.name.lower() == unit
        ]
        assert [(s.index, s.word) for s in bench.started if s.unit == unit] == expected
    events = [(s.cycle, 1, s.index) for s in bench.started]
    events += [(cycle, 0, index) for _, index, cycle in bench.retired]
    counts = [0] * 16
    for _, start, index in sorted(events):
        for s in program[index].waits if start else program[index].posts:
            counts[s] += -1 if start else 1
            assert 0 <= counts[s]


@pytest.mark.parametrize("config", [TINY, PRESETS["pynq-z2"], KV260], ids=lambda c: c.name)
def test_job(config):
    program = gemm()
    bench, found = run_program(config, program)
    check_order(bench, program)
    assert found["status"] == STATUS_DONE
    assert found["error_code"] == 0
    assert found["irq_pending"] == 1
    assert found["instructions"] == 7
    assert found["beats_fetched"] == 7 * 512 // config.axi_data_bits
    assert found["cycles"] == bench.irq_cycle - bench.start_cycle
    # 2 to the request, 50 to the first beat, one beat a cycle, and a dozen for the tail.
    beats = 7 * 512 // config.axi_data_bits
    assert found["cycles"] <= 2 + 50 + beats + 20


@pytest.mark.parametrize("seed", range(6))
def test_random_program(seed):
    rng = random.Random(seed)
    config = [TINY, KV260][seed % 2]
    program = random_program(seed, 60)
    bench, found = run_program(
        config,
        program,
        latency=rng.choice([1, 7, 60]),
        stall=lambda: rng.random() < 0.3,
        duration=lambda unit: rng.choice([1, 1, 4, 30]),
    )
    print(f"seed {seed}")
    check_order(bench, program)
    assert found["status"] == STATUS_DONE
    assert found["instructions"] == 61
    for offset, beats in bench.requests:
        assert offset % config.beat_bytes == 0
        assert offset // config.stripe_bytes == (
            (offset + beats * config.beat_bytes - 1) // config.stripe_bytes
        )
    assert sum(beats for _, beats in bench.requests) == 61 * 512 // config.axi_data_bits


@pytest.mark.parametrize(
    ("broken", "code"),
    [(bytes(64), ErrorCode.BAD_OPCODE), (b"\x02" + bytes(63), ErrorCode.BAD_FIELD)],
)
def test_bad_instruction(broken, code):
    program = encode_program(gemm()[:3]) + broken + encode_program([END])
    _, found = run_program(TINY, program)
    assert found["status"] == STATUS_ERROR
    assert (found["error_code"], found["error_instruction"]) == (code, 3)
    assert found["irq_pending"] == 2


@pytest.mark.parametrize("length", [0, 1, 5])
def test_program_without_end(length):
    _, found = run_program(TINY, gemm()[:length])
    assert found["status"] == STATUS_ERROR
    assert (found["error_code"], found["error_instruction"]) == (ErrorCode.PROGRAM_END, length)


@pytest.mark.parametrize("config", [TINY, KV260], ids=lambda c: c.name)
@pytest.mark.parametrize("inside", [0, 3, 6])
def test_program_leaves_the_arena(config, inside):
    """Instructions before the limit still run; the first one past it is named."""
    bench, found = run_program(config, gemm(), registers={"arena_bytes": 64 * inside + 48})
    assert found["status"] == STATUS_ERROR
    assert (found["error_code"], found["error_instruction"]) == (ErrorCode.ARENA, inside)
    assert all(o + b * config.beat_bytes <= 64 * inside for o, b in bench.requests)


def test_end_inside_a_longer_program():
    bench, found = run_program(TINY, [*gemm(), *gemm()])
    assert found["status"] == STATUS_DONE
    assert found["instructions"] == 7
    assert len(bench.started) == 6


def test_deadlock_reaches_the_watchdog():
    program = [Instruction(Opcode.LOAD, (3,), (), LOAD), END]
    _, found = run_program(TINY, program, registers={"watchdog": 100})
    assert found["status"] == STATUS_ERROR
    assert (found["error_code"], found["error_instruction"]) == (ErrorCode.WATCHDOG, 1)
    assert 100 < found["load_wait_semaphore"] < 120


def test_semaphore_overflow():
    program = [Instruction(Opcode.LOAD, (), (5, 5), LOAD)] * 32
    _, found = run_program(TINY, [*program, END])
    assert found["status"] == STATUS_ERROR
    assert (found["error_code"], found["error_instruction"]) == (ErrorCode.SEMAPHORE, 31)
