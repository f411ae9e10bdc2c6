"""Constants that become parameters of the depthwise engine have shifts that its lanes know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weft.program.window_nest import WindowNest
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import TAP_PARAMETERS, TAPS, Instruction, Opcode, Space
from weft_hw.numerics import SHIFT_AT, SHIFT_BITS, SHIFT_MAX

from .accesses import refuse

__all__ = ["check_taps"]


def check_taps(
    instructions: Sequence[Instruction],
    config: AcceleratorConfig,
    order: Sequence[int],
    constants: Sequence[tuple[int, bytes]],
) -> None:
    """Refuse a shift beyond SHIFT_MAX where it is known before the run: rule ``parameters``.

    Parameters
    ----------
    order : one legal order of execution
    constants : sequence of (offset, bytes), disjoint
        What lies in the arena at the start; bytes of other origin count as zero.

    Raises
    ------
    ProgramRefused
        At the DEPTHWISE.
    """
    if not any(i.opcode is Opcode.DEPTHWISE for i in instructions):
        return
    line = config.line_bytes
    memory = np.zeros(TAPS * config.tap_words * line, np.uint8)
    for index in order:
        instruction = instructions[index]
        if instruction.opcode is Opcode.LOAD and instruction["space"] == Space.TAPS:
            _load(instruction, memory, constants)
        elif instruction.opcode is Opcode.DEPTHWISE:
            words = memory.reshape(TAPS, config.tap_words, line)
            for first in np.unique(WindowNest(instruction).tap.values()):
                block = words[:, first : first + TAP_PARAMETERS].transpose(1, 0, 2)
                entries = np.ascontiguousarray(block).reshape(-1).view("<u8")[: config.rows]
                shifts = entries >> np.uint64(SHIFT_AT) & np.uint64((1 << SHIFT_BITS) - 1)
                if shifts.max() > SHIFT_MAX:
                    refuse(
                        index,
                        "parameters",
                        f"instruction {index} (DEPTHWISE) uses a shift of {int(shifts.max())}; "
                        f"shifts lie in 0..{SHIFT_MAX}",
                        "choose multiplier and shift with numerics.multiplier_for",
                    )


def _load(
    instruction: Instruction, memory: NDArray[np.uint8], constants: Sequence[tuple[int, bytes]]
) -> None:
    """Write what a LOAD brings from constants into `memory`."""
    get = instruction.__getitem__
    size = get("bytes")
    for row in range(get("rows")):
        chip = 4 * (get("chip_address") + row * get("chip_pitch"))
        if get("fill"):
            memory[chip : chip + size] = get("fill_value") & 0xFF
            continue
        memory[chip : chip + size] = 0
        start = get("dram_offset") + row * get("dram_pitch")
        for offset, data in constants:
            low, high = max(start, offset), min(start + size, offset + len(data))
            if low < high:
                known = np.frombuffer(data, np.uint8)[low - offset : high - offset]
                memory[chip + low - start : chip + high - start] = known
