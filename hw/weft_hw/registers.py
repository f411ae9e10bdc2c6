"""The AXI4-Lite register map: the only definition of offsets, fields and counters.

Standard library only. Gateware, driver, simulation harness and the reference page read this.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .isa import UNITS, UnitSpec, unit_counters

__all__ = [
    "Access",
    "CONTROL_RESET",
    "CONTROL_START",
    "COUNTERS",
    "COUNTER_OFFSET",
    "IDENTIFIER",
    "IRQ_DONE",
    "IRQ_ERROR",
    "REGISTERS",
    "REGISTER_BYTES",
    "Register",
    "STATUS_BUS_BUSY",
    "STATUS_DONE",
    "STATUS_ERROR",
    "STATUS_RUNNING",
    "register_map",
]

#: Bytes of the register block's address window.
REGISTER_BYTES = 4096
#: Register of counter slot 0.
COUNTER_OFFSET = 0x100
#: "WEFT" in ASCII, big endian; below 2**31.
IDENTIFIER = 0x57454654

CONTROL_START, CONTROL_RESET = 1 << 0, 1 << 1
STATUS_RUNNING, STATUS_DONE, STATUS_ERROR, STATUS_BUS_BUSY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
IRQ_DONE, IRQ_ERROR = 1 << 0, 1 << 1


class Access(enum.Enum):
    """What the bus may do. A write to a read-only or absent register answers SLVERR."""

    READ = "ro"
    READ_WRITE = "rw"
    #: Reads as zero; a one starts something.
    PULSE = "wo"
    #: Reads pending bits; writing a one clears that bit.
    WRITE_1_CLEAR = "w1c"


@dataclass(frozen=True)
class Register:
    """One 32-bit register."""

    name: str
    offset: int
    access: Access
    doc: str
    width: int = 32


def register_map(units: Sequence[UnitSpec] = UNITS) -> dict[str, Register]:
    """All registers of a core with these units, by name."""
    r, rw = Access.READ, Access.READ_WRITE
    table: list[tuple[int, str, Access, int, str]] = [
        (0x000, "id", r, 32, f'identifier, {IDENTIFIER:#010x} ("WEFT")'),
        (0x004, "isa_version", r, 16, "major << 8 | minor"),
        (0x008, "config_hash_low", r, 31, "low word of the config hash"),
        (0x00C, "config_hash_high", r, 31, "high word of the config hash"),
        (0x010, "capability_array", r, 24, "rows | cols << 8 | weight_rows_per_cycle << 16"),
        (0x014, "capability_bus", r, 24, "axi_ports | axi_data_bits << 8"),
        (0x020, "arena_base_low", rw, 32, "address of the arena, bits 31..0; multiple of 4096: "
         "bits 11..0 are kept, and ignored"),
        (0x024, "arena_base_high", rw, 17, "address of the arena, bits 48..32"),
        (0x028, "arena_bytes", rw, 32, "bytes of the arena; every access is checked against it"),
        (0x030, "program_offset", rw, 32, "byte offset of the program; multiple of 256"),
        (0x034, "program_length", rw, 24, "instructions of the program, END included"),
        (0x038, "watchdog", rw, 32, "cycles without progress before WATCHDOG; 0 switches it off"),
        (0x040, "control", Access.PULSE, 2, "bit 0 start (ignored while running, error or "
         "bus_busy, and with bit 1), bit 1 soft reset"),
        (0x044, "status", r, 4, "bit 0 running, bit 1 done, bit 2 error, bit 3 bus_busy: a soft "
         "reset goes on, or bursts of an aborted run are still in flight"),
        (0x048, "error_code", r, 4, "why the core stopped; see the error codes"),
        (0x04C, "error_instruction", r, 24, "index of the failing instruction; all ones: a fetch"),
        (0x050, "irq_enable", rw, 2, "bit 0 done, bit 1 error"),
        (0x054, "irq_pending", Access.WRITE_1_CLEAR, 2, "bit 0 done, bit 1 error"),
    ]
    registers = {name: Register(name, offset, access, doc, width)
                 for offset, name, access, width, doc in table}
    for c in unit_counters(units):
        registers[c.name] = Register(c.name, COUNTER_OFFSET + 4 * c.slot, Access.READ, c.doc)
    return registers


#: Performance counters of all units, 32 bits, cleared by a start. They count while the core runs.
COUNTERS: Mapping[str, str] = MappingProxyType({c.name: c.doc for c in unit_counters()})

#: All registers by name.
REGISTERS: Mapping[str, Register] = MappingProxyType(register_map())
