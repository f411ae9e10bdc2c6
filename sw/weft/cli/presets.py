"""``weft presets``: the named configurations and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

from weft.results import Hash
from weft_hw.config import PRESETS, AcceleratorConfig

from .options import Json
from .output import print_json, print_table

__all__ = ["Derived", "Preset", "command"]


@dataclass(frozen=True)
class Derived:
    """Numbers that follow from a configuration."""

    macs_per_cycle: int
    peak_gmacs_per_second: float
    tile_cycles: int
    scratchpad_bytes: int
    weight_words: int
    parameter_bytes: int
    accumulator_bytes: int
    dma_bytes_per_cycle: int
    stripe_bytes: int


@dataclass(frozen=True)
class Preset:
    """A named configuration."""

    name: str
    config_hash: Hash
    chosen: AcceleratorConfig
    derived: Derived


def _preset(c: AcceleratorConfig) -> Preset:
    return Preset(
        c.name,
        c.hash,
        c,
        Derived(
            macs_per_cycle=c.macs_per_cycle,
            peak_gmacs_per_second=c.macs_per_cycle * c.clock_mhz / 1000,
            tile_cycles=c.tile_words,
            scratchpad_bytes=c.scratchpad_bytes,
            weight_words=c.weight_words,
            parameter_bytes=c.parameter_bytes,
            accumulator_bytes=4 * c.cols * c.accumulator_rows,
            dma_bytes_per_cycle=c.dma_bytes,
            stripe_bytes=c.stripe_bytes,
        ),
    )


def command(json: Json = False) -> None:
    """Show the presets, with the numbers that follow from them."""
    if json:
        print_json("presets", [_preset(c) for c in PRESETS.values()])
        return
    print_table(
        "Presets",
        PRESETS.values(),
        {
            "preset": lambda c: c.name,
            "config hash": lambda c: c.hash,
            "rows x cols": lambda c: f"{c.rows} x {c.cols}",
            "weight rows / cycle": lambda c: c.weight_rows_per_cycle,
            "MHz": lambda c: c.clock_mhz,
            "GMAC/s": lambda c: f"{c.macs_per_cycle * c.clock_mhz / 1000:g}",
            "ports": lambda c: f"{c.axi_ports} x {c.axi_data_bits} {c.axi_protocol}",
            "DMA bytes / cycle": lambda c: c.dma_bytes,
            "scratchpad KiB": lambda c: f"{c.scratchpad_banks} x {c.scratchpad_bank_bytes >> 10}",
            "weights KiB": lambda c: c.weight_buffer_bytes >> 10,
            "accumulator rows": lambda c: c.accumulator_rows,
        },
        left=2,
    )
