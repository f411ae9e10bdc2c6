"""Payloads and ports that blocks share, so that producer and consumer cannot disagree.

Instruction words have their fields at the bits that ``isa`` gives them. Streams follow Amaranth's
four data transfer rules (a producer holds valid and payload until ready).
"""

from __future__ import annotations

from amaranth.hdl import Value, ValueLike, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Out, Signature

from .config import AcceleratorConfig
from .isa import INSTRUCTION_BYTES, LAYOUTS, LOOP_LEVELS, POSTS, Opcode

__all__ = [
    "INDEX_BITS",
    "INSTRUCTION_BITS",
    "POST_BITS",
    "ChipRead",
    "ChipWrite",
    "ErrorPort",
    "Retire",
    "StartLayout",
    "chip_address_bits",
    "chip_write_layout",
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
            "space": unsigned(2),
            "address": unsigned(chip_address_bits(config)),
            "mask": unsigned(config.axi_ports),
            "data": unsigned(8 * config.dma_bytes),
        }
    )


class ChipWrite(Signature):
    """Stream of :func:`chip_write_layout` from the load unit to the on-chip memories."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {"payload": Out(chip_write_layout(config)), "valid": Out(1), "ready": Out(1).flip()}
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
                "ready": Out(1).flip(),
                "data": Out(8 * config.dma_bytes).flip(),
                "data_valid": Out(1).flip(),
            }
        )
