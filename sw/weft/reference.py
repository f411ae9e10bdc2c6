"""The instruction set and the registers as plain data, for ``weft isa --json``.

Standard library only. The pages for people are those of ``weft_hw.docgen``.
"""

from __future__ import annotations

from typing import Any

from weft_hw.isa import LAYOUTS, OPCODE_UNITS
from weft_hw.registers import REGISTERS

__all__ = ["instruction_rows", "register_rows"]


def instruction_rows() -> list[dict[str, Any]]:
    """One dict per opcode: number, unit, and its fields at their bits."""
    return [
        {
            "opcode": opcode.name,
            "number": int(opcode),
            "unit": OPCODE_UNITS[opcode].name.lower(),
            "fields": [
                {
                    "name": f.name,
                    "offset": f.offset,
                    "width": f.width,
                    "signed": f.signed,
                    "doc": f.doc,
                }
                for f in layout
            ],
        }
        for opcode, layout in LAYOUTS.items()
    ]


def register_rows() -> list[dict[str, Any]]:
    """One dict per register, in order of offset."""
    return [
        {
            "name": r.name,
            "offset": r.offset,
            "access": r.access.value,
            "width": r.width,
            "doc": r.doc,
        }
        for r in sorted(REGISTERS.values(), key=lambda r: r.offset)
    ]
