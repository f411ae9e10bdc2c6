"""The emulator: instructions, modes, errors."""

from __future__ import annotations

import numpy as np
import pytest

from naive_emulator import EXECUTE as ONE_BY_ONE
from weft.backend.emulator import EmulatorBackend, execute
from weft.backend.emulator.instructions import EXECUTE
from weft.errors import DeviceError, Mismatch, UsageError
from weft.program import Program, TensorSpec
from weft_hw.config import preset
from weft_hw.isa import ErrorCode, Instruction, Opcode, ResultType, Space

TINY = preset("tiny")
END = Instruction(Opcode.END)
I = Instruction


def counts(*values: int) -> dict[str, int]:
    return {f"count{i}": (values + (1,) * 6)[i] for i in range(6)}


def load(space: Space, offset: int, size: int, address: int = 0, waits=(), posts=()) -> I:
    fields = {"space": space, "dram_offset": offset, "rows": 1, "bytes": size}
    return I(Opcode.LOAD, waits, posts, {**fields, "chip_address": address})


def parameters(bias, multiplier, shift) -> np.ndarray:
    entry = (np.asarray(bias, np.int64) & 0xFFFFFFFF).astype(np.uint64)
    entry |= np.asarray(multiplier).astype(np.uint64) << np.uint64(32)
    entry |= np.asarray(shift).astype(np.uint64) << np.uint64(49)
    return entry.view(np.uint8)


def tile_gemm(config, a, w, bias, kind=ResultType.INT32):
    """Program and arena of one R x C tile: act at 0, weights 4096, parameters 8192, out 12288."""
    m = len(a)
    arena = np.zeros(65536, np.uint8)
    arena[: a.size] = a.reshape(-1).view(np.uint8)
    h, l = config.tile_words, config.weight_rows_per_cycle
    stored = w.reshape(l, h, config.cols).transpose(1, 0, 2)
    arena[4096 : 4096 + w.size] = stored.reshape(-1).view(np.uint8)
    entries = parameters(bias, np.full(config.cols, 3), np.full(config.cols, 4))
    arena[8192 : 8192 + len(entries)] = entries
    line = config.rows // 4
    row = config.cols * kind.bytes
    out = 512 * line
    program = [
        load(Space.SCRATCHPAD, 0, a.size, posts=(0,)),
        load(Space.WEIGHTS, 4096, w.size, posts=(1,)),
        load(Space.PARAMETERS, 8192, len(entries), posts=(2,)),
        I(Opcode.SETUP, (), (), {"result_type": kind, "low": -128, "high": 127,
                                 "result_jump0": row // 4}),
        I(Opcode.MATMUL, (0, 1, 2), (3,), {
            **counts(m), "tile_levels": 1, "first": 1, "last": 1, "act_jump0": line,
            "result_address": out}),
        I(Opcode.STORE, (3,), (), {"dram_offset": 12288, "rows": 1, "bytes": m * row,
                                   "chip_address": out}),
        END,
    ]  # fmt: skip
    return program, arena


@pytest.mark.parametrize("name", ["tiny", "tiny-wide", "pynq-z2", "kv260"])
@pytest.mark.parametrize("meaning", [EXECUTE, ONE_BY_ONE])
def test_one_tile_is_the_matrix_product(name, meaning):
    config = preset(name)
    rng = np.random.default_rng(1)
    m = 8
    a = rng.integers(-128, 128, (m, config.rows), np.int8)
    w = rng.integers(-127, 128, (config.rows, config.cols), np.int8)
    bias = rng.integers(-(2**31), 2**31, config.cols)
    program, arena = tile_gemm(config, a, w, bias)
    state = execute(config, program, arena, meaning=meaning)
    got = arena[12288 : 12288 + m * config.cols * 4].view("<i4").reshape(m, config.cols)
    want = a.astype(np.int64) @ w.astype(np.int64) + bias
    assert (got == want.astype(np.int32)).all()
    assert state.rows == m


@pytest.mark.parametrize("kind", list(ResultType))
def test_modes_agree_on_a_tile(kind):
    rng = np.random.default_rng(2)
    config = preset("tiny-wide")
    a = rng.integers(-128, 128, (9, config.rows), np.int8)
    a = np.concatenate([a, a[:1]])
    w = rng.integers(-128, 128, (config.rows, config.cols), np.int8)
    program, arena = tile_gemm(config, a, w, rng.integers(-99, 99, config.cols), kind)
    other = arena.copy()
    execute(config, program, arena)
    execute(config, program, other, meaning=ONE_BY_ONE)
    assert (arena == other).all() and arena[12288:12400].any()


def accumulate_program(config, order: str):
    """K in two tiles, two row blocks, N in two tiles, in several loop orders."""
    line, h, c = config.rows // 4, config.tile_words, config.cols
    sizes = {"k": 2, "n": 2, "b": 2}
    level = {name: 1 + order.index(name) for name in sizes}
    fields = {"tile_levels": 1, "first": 1, "last": 1, "reduction": 1 << level["k"]}
    fields.update(counts(5, *(sizes[n] for n in order)))
    stride = {
        "act": {"m": 2 * line, "k": line, "b": 10 * line, "n": 0},
        "weight": {"k": h, "n": 2 * h, "b": 0, "m": 0},
        "acc": {"m": 1, "b": 5, "n": 10, "k": 0},
        "result": {"m": 2 * c // 4, "n": c // 4, "b": 10 * c // 4, "k": 0},
        "parameter": {"n": c // 2, "k": 0, "b": 0, "m": 0},
    }
    setup = {"result_type": 0, "low": -128, "high": 127}
    for name, steps in stride.items():
        back = 0
        for i, loop in enumerate("m" + order):
            jump = steps[loop] - back
            count = (5, *(sizes[n] for n in order))[i]
            back += (count - 1) * steps[loop]
            if i or name not in ("weight", "parameter"):
                (setup if name in ("result", "parameter") else fields)[f"{name}_jump{i}"] = jump
    fields["result_address"] = 256 * line
    return [
        load(Space.SCRATCHPAD, 0, 20 * 2 * config.rows),
        load(Space.WEIGHTS, 4096, 4 * config.tile_bytes),
        load(Space.PARAMETERS, 8192, 16 * c, posts=(0,)),
        I(Opcode.SETUP, (), (), setup),
        I(Opcode.MATMUL, (0,), (1,), fields),
        I(Opcode.STORE, (1,), (), {"dram_offset": 12288, "rows": 1, "bytes": 20 * c,
                                   "chip_address": 256 * line}),
        END,
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["knb", "kbn", "bkn", "nkb", "nbk", "bnk"])
def test_loop_orders_give_one_result(order):
    config = preset("tiny")
    rng = np.random.default_rng(3)
    arena = rng.integers(0, 256, 65536).astype(np.uint8)
    c = config.cols
    entries = parameters(rng.integers(-9999, 9999, 2 * c), rng.integers(1, 2000, 2 * c),
                         np.full(2 * c, 17))  # fmt: skip
    arena[8192 : 8192 + len(entries)] = entries
    a = arena[:160].view(np.int8).reshape(10, 16).astype(int)
    w = arena[4096 : 4096 + 256].view(np.int8).reshape(2, 16, 8).astype(int)  # [n, k, c]
    want = np.concatenate([a @ w[0], a @ w[1]], axis=1)
    raw = entries.view("<u8").astype(object)
    bias = np.array([(int(e) & 0xFFFFFFFF) - ((int(e) >> 31 & 1) << 32) for e in raw])
    mult = np.array([int(e) >> 32 & 0x1FFFF for e in raw])
    want = np.clip(((want + bias) * mult + (1 << 16)) >> 17, -128, 127)
    program = accumulate_program(config, order)
    loops = arena.copy()
    execute(config, program, arena)
    execute(config, program, loops, meaning=ONE_BY_ONE)
    got = arena[12288 : 12288 + 160].view(np.int8).reshape(10, 16)
    assert (got == want).all()
    assert (arena == loops).all()


def test_chains_over_several_instructions_wrap():
    config = preset("tiny")
    arena = np.full(65536, 0x7F, np.uint8)
    entries = parameters(np.full(8, 2**31 - 5), np.ones(8), np.ones(8))
    arena[8192:8256] = entries
    base = {**counts(4), "tile_levels": 1, "act_jump0": 2, "acc_jump0": 1}
    program = [
        load(Space.SCRATCHPAD, 0, 64),
        load(Space.WEIGHTS, 0, 64),
        load(Space.PARAMETERS, 8192, 64, posts=(0,)),
        I(Opcode.SETUP, (), (), {"result_type": 2, "result_jump0": 8}),
        I(Opcode.MATMUL, (0,), (), {**base, "first": 1}),
        I(Opcode.MATMUL, (), (), base),
        I(Opcode.MATMUL, (), (1,), {**base, "last": 1, "result_address": 64}),
        I(Opcode.STORE, (1,), (), {"dram_offset": 12288, "rows": 1, "bytes": 128,
                                   "chip_address": 64}),
        END,
    ]  # fmt: skip
    loops = arena.copy()
    state = execute(config, program, arena)
    execute(config, program, loops, meaning=ONE_BY_ONE)
    want = (2**31 - 5 + 3 * 8 * 127 * 127) - 2**32
    assert (arena[12288 : 12288 + 128].view("<i4") == want).all()
    assert (arena == loops).all()
    assert (state.accumulators[:4] == want - 8 * 127 * 127).all(), "a last pass keeps them"


def refusal(program, arena_bytes=4096, config=TINY, meaning=EXECUTE) -> DeviceError:
    with pytest.raises(DeviceError) as error:
        execute(config, program, np.zeros(arena_bytes, np.uint8), meaning=meaning)
    return error.value


MATMUL = {**counts(2), "tile_levels": 1, "first": 1, "last": 1}


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (load(Space.SCRATCHPAD, 4096, 16), ErrorCode.ARENA),
        (load(Space.SCRATCHPAD, 4080, 32), ErrorCode.ARENA),
        (load(Space.SCRATCHPAD, 0, 32, address=2044), ErrorCode.ADDRESS),
        (load(Space.TABLES, 0, 1024), ErrorCode.ADDRESS),
        (load(Space.SCRATCHPAD, 4096, 32, address=2044), ErrorCode.ADDRESS),
        (load(Space.WEIGHTS, 8, 16), ErrorCode.BAD_FIELD),
        (load(Space.WEIGHTS, 0, 0), ErrorCode.BAD_FIELD),
        (I(Opcode.MATMUL, (), (), {**MATMUL, "act_address": 2046, "act_jump0": 2}),
         ErrorCode.ADDRESS),
        (I(Opcode.MATMUL, (), (), {**MATMUL, "act_jump0": -2}), ErrorCode.ADDRESS),
        (I(Opcode.MATMUL, (), (), {**MATMUL, "weight_address": 249}), ErrorCode.ADDRESS),
        (I(Opcode.MATMUL, (), (), {**MATMUL, "parameter_address": 61}), ErrorCode.ADDRESS),
        (I(Opcode.MATMUL, (), (), {**MATMUL, "first": 0, "acc_address": 64}), ErrorCode.ADDRESS),
        (I(Opcode.MATMUL, (), (), {**MATMUL, "result_address": 2048}), ErrorCode.ADDRESS),
        (I(Opcode.MATMUL, (), (), {**MATMUL, "count3": 0}), ErrorCode.BAD_FIELD),
        (I(Opcode.SETUP, (), (), {"table": 2}), ErrorCode.BAD_FIELD),
        (I(Opcode.LOAD, (4,), (), load(Space.WEIGHTS, 0, 16).fields), ErrorCode.WATCHDOG),
    ],
)  # fmt: skip
@pytest.mark.parametrize("meaning", [EXECUTE, ONE_BY_ONE])
def test_errors_carry_code_and_index(instruction, code, meaning):
    error = refusal([I(Opcode.SETUP), instruction, END], meaning=meaning)
    assert error.error_code == code
    assert error.instruction == (2 if code is ErrorCode.WATCHDOG else 1)
    assert error.exit_code == 6


def test_result_alignment_follows_the_setup_in_force():
    config = preset("tiny")
    setup = I(Opcode.SETUP, (), (), {"result_type": 1})
    matmul = I(Opcode.MATMUL, (), (), {**MATMUL, "result_address": 2})
    execute(config, [matmul, END], np.zeros(4096, np.uint8))
    error = refusal([setup, matmul, END])
    assert error.error_code == ErrorCode.BAD_FIELD and error.instruction == 1


def test_program_without_end():
    error = refusal([I(Opcode.SETUP)])
    assert error.error_code == ErrorCode.PROGRAM_END and error.instruction == 1


def test_semaphore_overflow_names_the_instruction():
    one = load(Space.WEIGHTS, 0, 16, posts=(5,))
    error = refusal([*[one] * 64, END])
    assert error.error_code == ErrorCode.SEMAPHORE and error.instruction == 63


def test_deadlock_is_reported():
    blocked = [load(Space.WEIGHTS, 0, 16, waits=(1,))] * 3
    store = I(Opcode.STORE, (), (1,), {"rows": 1, "bytes": 16})
    error = refusal([*blocked, store, END])
    assert error.error_code == ErrorCode.WATCHDOG
    assert "instruction 0 waits on semaphore 1" in str(error)
    # With the store in front of the third load the queues are deep enough.
    fine = [blocked[0], store, END]
    execute(TINY, fine, np.zeros(4096, np.uint8))


def test_rows_of_a_large_product_are_counted():
    config = preset("pynq-z2")
    n = 24 * 96
    fields = {**counts(128, 24, 96), "tile_levels": 1, "first": 1, "last": 1, "reduction": 2,
              "act_jump0": 4, "act_jump1": -127 * 4, "act_jump2": -127 * 4, "acc_jump0": 1,
              "acc_jump1": -127, "acc_jump2": -127}  # fmt: skip
    program = [I(Opcode.SETUP), I(Opcode.MATMUL, (), (), {**fields, "result_address": 2048}), END]
    state = execute(config, program, np.zeros(4096, np.uint8))
    assert state.rows == 128 * n


def test_backend_runs_a_program_twice():
    rng = np.random.default_rng(5)
    w = rng.integers(-127, 128, (8, 8), np.int8)
    instructions, arena = tile_gemm(TINY, np.zeros((8, 8), np.int8), w, np.zeros(8))
    program = Program(
        config=TINY,
        instructions=instructions,
        program_offset=32768,
        arena_bytes=65536,
        constants=[(4096, arena[4096:4160]), (8192, arena[8192:8256])],
        inputs=[TensorSpec("x", "int8", (4, 16), 0, (16,))],
        outputs=[TensorSpec("y", "int32", (8, 8), 12288, (32,))],
    )
    with EmulatorBackend(TINY) as emulator:
        with pytest.raises(UsageError, match="has no program; call load"):
            emulator.run({})
        emulator.load(program)
        with pytest.raises(UsageError, match="nothing has run"):
            emulator.memory()
        for _ in range(2):
            x = rng.integers(-128, 128, (4, 16), np.int8)
            y = emulator.run({"x": x})["y"]
            assert (y == x.reshape(8, 8).astype(np.int32) @ w).all()
        with pytest.raises(UsageError, match="input 'x' is missing"):
            emulator.run({})
        assert emulator.counters() == {
            "instructions": 7, "array_rows": 8, "beats_read": 24, "beats_written": 32,
        }  # fmt: skip
        assert emulator.memory()[12288 : 12288 + 256] == y.tobytes()
    with pytest.raises(Mismatch):
        EmulatorBackend(preset("tiny-wide")).load(program)
