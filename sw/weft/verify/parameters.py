"""Constants and fills that become parameters have shifts that the lanes know."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from weft_hw.isa import Instruction, Opcode, Space
from weft_hw.numerics import SHIFT_AT, SHIFT_BITS, SHIFT_MAX

from .accesses import refuse

__all__ = ["check_parameters"]


def check_parameters(
    instructions: Sequence[Instruction], constants: Sequence[tuple[int, bytes]]
) -> None:
    """Refuse a shift beyond SHIFT_MAX where it is known before the run: rule ``parameters``.

    Parameters
    ----------
    constants : sequence of (offset, bytes), disjoint
        What lies in the arena at the start. Entries never cross a granule, so each lies in one.

    Raises
    ------
    ProgramRefused
        At the load.
    """
    known = sorted(constants)
    ends = [offset + len(data) for offset, data in known]
    for index, instruction in enumerate(instructions):
        if instruction.opcode is not Opcode.LOAD or instruction["space"] != Space.PARAMETERS:
            continue
        get, size = instruction.__getitem__, instruction["bytes"]
        if get("fill"):
            _check(index, bytes([get("fill_value") & 0xFF]) * 8)
            continue
        first = get("dram_offset")
        for start in {first + row * get("dram_pitch") for row in range(get("rows"))}:
            at = bisect_right(ends, start)
            while at < len(known) and known[at][0] < start + size:
                offset, data = known[at]
                low, high = max(start, offset), min(start + size, offset + len(data))
                _check(index, data[low - offset : high - offset])
                at += 1


def _check(index: int, data: bytes) -> None:
    shifts = np.frombuffer(data, "<u8") >> np.uint64(SHIFT_AT) & np.uint64((1 << SHIFT_BITS) - 1)
    if shifts.max() > SHIFT_MAX:
        refuse(
            index,
            "parameters",
            f"instruction {index} (LOAD) brings a parameter with a shift of {int(shifts.max())}; "
            f"shifts lie in 0..{SHIFT_MAX}",
            "choose multiplier and shift with numerics.multiplier_for",
        )
