"""The instructions one element at a time, in plain Python integers.

Written from the documented semantics and not from :mod:`weft.backend.emulator.instructions` or
``weft_hw.numerics``, so that tests can hold the two against each other. Slow: for programs of a few
thousand rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from weft.backend.emulator.state import State, Stop
from weft_hw.isa import LAYOUTS, LOOP_LEVELS, ErrorCode, Instruction, Opcode, Space
from weft_hw.numerics import RESIDUAL_SHIFT

__all__ = ["EXECUTE"]


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _transfer(state: State, instruction: Instruction) -> list[tuple[int, int]]:
    """(arena byte, on-chip byte) of every byte moved."""
    get = instruction.__getitem__
    chip_bytes = len(state.spaces[Space(get("space"))])
    pairs = []
    for row in range(get("rows")):
        for byte in range(get("bytes")):
            dram = get("dram_offset") + row * get("dram_pitch") + byte
            chip = 4 * (get("chip_address") + row * get("chip_pitch")) + byte
            pairs.append((dram, chip))
    for _, chip in pairs:
        if chip >= chip_bytes:
            raise Stop(ErrorCode.ADDRESS, f"byte {chip} is beyond the on-chip memory")
    for dram, _ in pairs:
        if dram >= len(state.arena):
            raise Stop(ErrorCode.ARENA, f"byte {dram} is beyond the arena")
    return pairs


def load(state: State, instruction: Instruction) -> None:
    """Copy rows from the arena to an on-chip memory."""
    memory = state.spaces[Space(instruction["space"])]
    pairs = _transfer(state, instruction)
    if instruction["fill"]:
        for _, chip in pairs:
            memory[chip] = instruction["fill_value"] % 256
        return
    for dram, chip in pairs:
        memory[chip] = state.arena[dram]
    state.bytes_read += len(pairs)


def store(state: State, instruction: Instruction) -> None:
    """Copy rows from the scratchpad to the arena."""
    memory = state.spaces[Space.SCRATCHPAD]
    pairs = _transfer(state, instruction)
    for dram, chip in pairs:
        state.arena[dram] = memory[chip]
    state.bytes_written += len(pairs)


def setup(state: State, instruction: Instruction) -> None:
    """Replace the settings of the MATMULs that follow."""
    state.setup = instruction


def end(state: State, instruction: Instruction) -> None:
    """Nothing."""


def matmul(state: State, instruction: Instruction) -> None:
    """Walk the nest as address generators do: one jump per step."""
    counts = instruction.vector("count")
    levels, reduction = instruction["tile_levels"], instruction["reduction"]
    reduced = [i for i in range(LOOP_LEVELS) if reduction >> i & 1]
    jumps = {name: instruction.vector(f"{name}_jump") for name in ("act", "acc", "weight")}
    zero = (0,) * LOOP_LEVELS
    for name in ("result", "parameter"):
        jumps[name] = state.setup.vector(f"{name}_jump") if state.setup else zero
    at = {name: instruction[f"{name}_address"] for name in jumps}
    # product() varies its last argument fastest, so levels go in from 5 to 0.
    previous: tuple[int, ...] | None = None
    for index in itertools.product(*(range(c) for c in reversed(counts))):
        index = index[::-1]
        if previous is not None:
            step = next(i for i in range(LOOP_LEVELS) if index[i] > previous[i])
            for name in at:
                if step >= levels or name not in ("weight", "parameter"):
                    bits = LAYOUTS[Opcode.MATMUL][f"{name}_address"].width
                    at[name] = (at[name] + jumps[name][step]) % (1 << bits)
        previous = index
        first = bool(instruction["first"]) and all(index[i] == 0 for i in reduced)
        last = bool(instruction["last"]) and all(index[i] == counts[i] - 1 for i in reduced)
        _row(state, at, first, last)
        state.rows += 1


def _require(ok: bool, what: str, address: int) -> None:
    if not ok:
        raise Stop(ErrorCode.ADDRESS, f"{what} address {address} is out of range")


def _row(state: State, at: Mapping[str, int], first: bool, last: bool) -> None:
    """One activation row past one weight tile."""
    config = state.config
    r_count, c_count, h = config.rows, config.cols, config.tile_words
    pad, weights = state.spaces[Space.SCRATCHPAD], state.spaces[Space.WEIGHTS]
    act = 4 * at["act"]
    _require(0 <= act and act + r_count <= len(pad), "activation", at["act"])
    _require(0 <= at["weight"] and at["weight"] + h <= config.weight_words, "weight", at["weight"])
    if first or last:
        pairs = config.parameter_entries // 2
        ok = 0 <= at["parameter"] and at["parameter"] + c_count // 2 <= pairs
        _require(ok, "parameter", at["parameter"])
    if not (first and last):
        ok = 0 <= at["acc"] < config.accumulator_rows
        _require(ok, "accumulator", at["acc"])
    a = pad[act : act + r_count].view(np.int8).tolist()
    tile = at["weight"] * config.weight_word_bytes
    w = weights[tile : tile + config.tile_bytes].view(np.int8).tolist()
    # Row r = segment * h + j of the tile is in word j, where each segment has C bytes.
    offsets = [
        j * config.weight_word_bytes + segment * c_count
        for segment in range(config.weight_rows_per_cycle)
        for j in range(h)
    ]
    for c in range(c_count):
        v = sum(x * w[offset + c] for x, offset in zip(a, offsets))
        entry = _entry(state, 2 * at["parameter"] + c) if first or last else 0
        before = _signed(entry, 32) if first else int(state.accumulators[at["acc"], c])
        if state.setting("maximum"):
            v = max(_signed(v, 8), _signed(before, 8))
        v = _signed(v if state.setting("maximum") else v + before, 32)
        if last:
            _result(state, at["result"], c, v, entry)
        else:
            state.accumulators[at["acc"], c] = v


def _entry(state: State, number: int) -> int:
    memory = state.spaces[Space.PARAMETERS]
    return int.from_bytes(memory[8 * number : 8 * number + 8].tobytes(), "little")


def depthwise(state: State, instruction: Instruction) -> None:
    """Walk the nest, one line after the other; the stream of a row is kept whole."""
    get, config = instruction.__getitem__, state.config
    counts, lanes = instruction.vector("count"), config.rows
    at = {name: get(f"{name}_address") for name in ("act", "result", "tap")}
    jumps = {name: instruction.vector(f"{name}_jump") for name in at}
    pad = state.spaces[Space.SCRATCHPAD]
    stream: list[list[int]] = []
    sums, multiplied = [0] * lanes, 0
    previous: tuple[int, ...] | None = None
    for index in itertools.product(*(range(c) for c in reversed(counts))):
        index = index[::-1]
        if previous is not None:
            step = next(i for i in range(LOOP_LEVELS) if index[i] > previous[i])
            for name in at:
                if name != "result" or step > 2 or (step == 2 and previous[2] >= get("skip")):
                    bits = LAYOUTS[Opcode.DEPTHWISE][f"{name}_address"].width
                    at[name] = (at[name] + jumps[name][step]) % (1 << bits)
        previous = index
        words = 3 + counts[1] * sum(get("fire") >> i & 1 for i in range(min(counts[0], 4)))
        _require(4 * at["act"] + lanes <= len(pad), "activation", at["act"])
        _require(at["tap"] + words <= config.tap_words, "tap", at["tap"])
        _require(4 * at["result"] + lanes <= len(pad), "result", at["result"])
        if not any(index[:3]):
            stream = []
        stream.append([_signed(int(x), 8) for x in pad[4 * at["act"] : 4 * at["act"] + lanes]])
        if index[2] < get("skip"):
            continue
        if not any(index[:2]):
            multiplied = 0
            sums = [_signed(_tap_entry(state, at["tap"], c), 32) for c in range(lanes)]
        if get("fire") >> index[0] & 1:
            back = 0
            for tap, delay in enumerate((0, get("delay1"), get("delay2"))):
                back += delay
                line = stream[max(len(stream) - 1 - back, 0)]
                word = _tap_word(state, tap, at["tap"] + 3 + multiplied)
                sums = [s + x * _signed(int(w), 8) for s, x, w in zip(sums, line, word)]
            multiplied += 1
        if index[0] == counts[0] - 1 and index[1] == counts[1] - 1:
            for c in range(lanes):
                entry = _tap_entry(state, at["tap"], c)
                multiplier, shift = entry >> 32 & 0x1FFFF, entry >> 49 & 63
                a = min(max(_signed(sums[c], 32) >> get("pre"), -(1 << 24)), (1 << 24) - 1)
                rounding = 1 << (shift - 1) if shift else 0
                v = get("zero_point") + ((a * multiplier + rounding) >> shift)
                v = min(max(v, get("low")), get("high"))
                if get("table_enable"):
                    v = int(state.spaces[Space.TABLES][256 * get("table") + (v & 255)])
                pad[4 * at["result"] + c] = v & 255


def _tap_word(state: State, tap: int, word: int) -> NDArray[np.uint8]:
    """R bytes: a word of one tap."""
    lanes, words = state.config.rows, state.config.tap_words
    start = (tap * words + word) * lanes
    return state.spaces[Space.TAPS][start : start + lanes]


def _tap_entry(state: State, word: int, c: int) -> int:
    """Parameters of lane c in the block from `word` on."""
    each = state.config.rows // 8
    place, at = divmod(c, each)
    raw = _tap_word(state, place % 3, word + place // 3)[8 * at : 8 * at + 8]
    return int.from_bytes(raw.tobytes(), "little")


def _result(state: State, address: int, c: int, v: int, entry: int) -> None:
    """Element c of a result row."""
    kind = state.setting("result_type")
    size = 1 << kind
    pad = state.spaces[Space.SCRATCHPAD]
    ok = 0 <= address and 4 * address + size * state.config.cols <= len(pad)
    _require(ok, "result", address)
    if kind < 2:
        multiplier, shift = entry >> 32 & 0x1FFFF, entry >> 49 & 63
        a = min(max(v >> state.setting("pre"), -(1 << 24)), (1 << 24) - 1)
        rounding = 1 << (shift - 1) if shift else 0
        scaled = a * multiplier
        if state.setting("residual"):
            r = _signed(int(pad[4 * address + c]), 8) - state.setting("residual_zero_point")
            scaled += (r << RESIDUAL_SHIFT) * state.setting("residual_multiplier")
        v = state.setting("zero_point") + ((scaled + rounding) >> shift)
        v = min(max(v, state.setting("low")), state.setting("high"))
        if state.setting("table_enable"):
            table = state.spaces[Space.TABLES]
            v = int(table[256 * state.setting("table") + (v & 255)])
    data = (v & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    for i, byte in enumerate(data):
        pad[4 * address + c * size + i] = byte


#: Meaning of each opcode.
EXECUTE: Mapping[Opcode, Callable[[State, Instruction], None]] = MappingProxyType(
    {
        Opcode.END: end,
        Opcode.LOAD: load,
        Opcode.STORE: store,
        Opcode.SETUP: setup,
        Opcode.MATMUL: matmul,
        Opcode.DEPTHWISE: depthwise,
    }
)
