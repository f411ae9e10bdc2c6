"""Payloads and ports that blocks share, so that producer and consumer cannot disagree.

Instruction words have their fields at the bits that ``isa`` gives them. Streams follow Amaranth's
four data transfer rules (a producer holds valid and payload until ready).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Value, ValueLike, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from .config import BURST_BEATS, AcceleratorConfig
from .isa import (
    INSTRUCTION_BYTES,
    LAYOUTS,
    LOOP_LEVELS,
    POSTS,
    SPACE_BITS,
    UNITS,
    Opcode,
    UnitSpec,
    queued,
    unit_counters,
)

__all__ = [
    "INDEX_BITS",
    "INSTRUCTION_BITS",
    "POST_BITS",
    "Arena",
    "BeatWrite",
    "ChipRead",
    "ChipWrite",
    "ErrorPort",
    "Events",
    "FetchPort",
    "Retire",
    "StartLayout",
    "UnitPort",
    "chip_address_bits",
    "chip_write_layout",
    "event_bits",
    "field",
    "vector",
]

#: Bits of an instruction.
INSTRUCTION_BITS = INSTRUCTION_BYTES * 8
#: Bits of an instruction's index in its program; as the program_length register.
INDEX_BITS = 24
#: Bits of the raw post fields of the header: (enable, semaphore) x POSTS.
POST_BITS = 5 * POSTS

#: An instruction whose waits are satisfied, on its way into its unit.
StartLayout = data.StructLayout({"word": unsigned(INSTRUCTION_BITS), "index": unsigned(INDEX_BITS)})


def field(word: ValueLike, opcode: Opcode, name: str) -> Value:
    """Slice of a 512-bit instruction `word` that holds field `name`; signed where the field is."""
    f = LAYOUTS[opcode][name]
    bits = Value.cast(word)[f.offset : f.offset + f.width]
    return bits.as_signed() if f.signed else bits


def vector(word: ValueLike, opcode: Opcode, name: str) -> list[Value | None]:
    """Per loop level the slice of field `name` + level; None where the level has no such field."""
    layout = LAYOUTS[opcode]
    return [
        field(word, opcode, f"{name}{i}") if f"{name}{i}" in layout else None
        for i in range(LOOP_LEVELS)
    ]


class Retire(Signature):
    """One-cycle pulse of a unit: its oldest instruction is complete; raise `posts`."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "posts": Out(POST_BITS)})


class ErrorPort(Signature):
    """One-cycle pulse: stop the core with `code` (``isa.ErrorCode``) at instruction `index`."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "code": Out(4), "index": Out(INDEX_BITS)})


class UnitPort(Signature):
    """A unit, as control sees it.

    start : instructions whose waits are satisfied; retire : completions, in order; error : faults.
    A block that serves several units may report the faults of all on one of their ports.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": Out(stream.Signature(StartLayout)),
                "retire": In(Retire()),
                "error": In(ErrorPort()),
            }
        )


class FetchPort(Signature):
    """Instruction fetch, as who fetches sees it.

    offset : bytes in the arena, a multiple of 16; beats : 1..16 that do not cross a stripe, with
    valid and ready. Their data come in order, without back-pressure.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "offset": Out(32),
                "beats": Out(BURST_BEATS.bit_length()),
                "valid": Out(1),
                "ready": In(1),
                "data": In(config.axi_data_bits),
                "data_valid": In(1),
            }
        )


class Arena(Signature):
    """Where programs and tensors are. base : physical address; bytes : size."""

    def __init__(self) -> None:
        super().__init__({"base": Out(49), "bytes": Out(32)})


def event_bits(
    config: AcceleratorConfig, units: Sequence[UnitSpec] = UNITS
) -> Mapping[str, int]:
    """Bits of each counter's increment: ports for beats, all retirements for instructions."""
    bits = dict.fromkeys((c.name for c in unit_counters(units)), 1)
    # At most one instruction per unit, END of control's, retires in a cycle.
    bits["instructions"] = len(units).bit_length()
    bits["beats_read"] = bits["beats_written"] = config.axi_ports.bit_length()
    return bits


class Events(Signature):
    """By how much each counter grows that control does not drive itself, by its name."""

    def __init__(self, config: AcceleratorConfig, units: Sequence[UnitSpec] = UNITS) -> None:
        own = {"cycles", "instructions", *(f"{s.name}_wait_semaphore" for s in queued(units))}
        bits = event_bits(config, units)
        super().__init__({name: Out(n) for name, n in bits.items() if name not in own})


def chip_address_bits(config: AcceleratorConfig) -> int:
    """Bits of an on-chip address in units of D bytes (20-bit word addresses, D/4 words each)."""
    return 20 - (config.dma_bytes // 4 - 1).bit_length()


def chip_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One write of a load: D bytes at a D-aligned on-chip address.

    space : which memory (``isa.Space``); address : in units of D bytes within that memory;
    mask : bit i writes beat i, bytes i*B..i*B+B-1; data : D bytes, lowest address first.
    """
    return data.StructLayout(
        {
            "space": unsigned(SPACE_BITS),
            "address": unsigned(chip_address_bits(config)),
            "mask": unsigned(config.axi_ports),
            "data": unsigned(8 * config.dma_bytes),
        }
    )


class BeatWrite(Signature):
    """Writes of a load to one on-chip memory, as :func:`chip_write_layout` without its space."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "valid": Out(1),
                "ready": In(1),
                "address": Out(chip_address_bits(config)),
                "mask": Out(config.axi_ports),
                "data": Out(8 * config.dma_bytes),
            }
        )


class ChipWrite(Signature):
    """Stream of :func:`chip_write_layout` from the load unit to the on-chip memories."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {"payload": Out(chip_write_layout(config)), "valid": Out(1), "ready": In(1)}
        )


class ChipRead(Signature):
    """Scratchpad reads of the store unit.

    A request (address in units of D bytes, valid/ready) is answered in order by `data` with
    `data_valid`, some cycles later, without back-pressure: the reader asks only for what it can
    take.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "address": Out(chip_address_bits(config)),
                "valid": Out(1),
                "ready": In(1),
                "data": In(8 * config.dma_bytes),
                "data_valid": In(1),
            }
        )
