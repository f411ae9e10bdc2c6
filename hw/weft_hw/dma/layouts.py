"""Payloads inside the data movement block; all positions count bus beats of B bytes."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Out, Signature

from ..config import AcceleratorConfig
from ..interface import chip_address_bits
from ..isa import SPACE_BITS

__all__ = [
    "SLOTS",
    "TAG_BITS",
    "Fault",
    "burst_layout",
    "chip_beat_bits",
    "dram_beat_bits",
    "length_bits",
    "piece_layout",
    "transfer_layout",
]

#: Transfers that a unit has in flight at most; their posts and indices wait in as many slots.
SLOTS = 8
#: Bits of a slot number; a transfer is known by the slot that it occupies.
TAG_BITS = (SLOTS - 1).bit_length()


def dram_beat_bits(config: AcceleratorConfig) -> int:
    """Bits of an arena offset in beats."""
    return 32 - (config.beat_bytes - 1).bit_length()


def chip_beat_bits(config: AcceleratorConfig) -> int:
    """Bits of an on-chip address in beats."""
    return chip_address_bits(config) + (config.axi_ports - 1).bit_length()


def length_bits(config: AcceleratorConfig) -> int:
    """Bits of a run in beats: at most 4 GiB, inclusive."""
    return dram_beat_bits(config) + 1


def transfer_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A whole transfer, as every walker takes it.

    offset, pitch : beats in the arena; chip, chip_pitch : beats on chip; length : beats of a row;
    rows : rows, >= 1; space : ``isa.Space``; tag : slot; fill, value : every byte is `value`.
    """
    return data.StructLayout(
        {
            "offset": unsigned(dram_beat_bits(config)),
            "pitch": unsigned(dram_beat_bits(config)),
            "rows": unsigned(16),
            "length": unsigned(length_bits(config)),
            "chip": unsigned(chip_beat_bits(config)),
            "chip_pitch": unsigned(chip_beat_bits(config)),
            "space": unsigned(SPACE_BITS),
            "tag": unsigned(TAG_BITS),
            "fill": unsigned(1),
            "value": unsigned(8),
        }
    )


def piece_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What one port moves in one burst.

    offset : beats in the arena; beats : 1..16, or 0 for a bare end marker; chip : beats on chip;
    last : nothing of this transfer follows on this port; fill, value : as in the transfer.
    """
    return data.StructLayout(
        {
            "offset": unsigned(dram_beat_bits(config)),
            "beats": unsigned(5),
            "chip": unsigned(chip_beat_bits(config)),
            "space": unsigned(SPACE_BITS),
            "tag": unsigned(TAG_BITS),
            "last": unsigned(1),
            "fill": unsigned(1),
            "value": unsigned(8),
        }
    )


def burst_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A burst for a bus port. offset : beats in the arena; beats : 1..16; tag : owner's slot."""
    return data.StructLayout(
        {
            "offset": unsigned(dram_beat_bits(config)),
            "beats": unsigned(5),
            "tag": unsigned(TAG_BITS),
        }
    )


class Fault(Signature):
    """Pulse, or level: transfer `tag` is at fault, with ``isa.ErrorCode`` `code`."""

    def __init__(self) -> None:
        super().__init__({"valid": Out(1), "code": Out(4), "tag": Out(TAG_BITS)})
