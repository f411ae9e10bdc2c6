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
    presets = [_preset(c) for c in PRESETS.values()]
    if json:
        print_json("presets", presets)
        return
    print_table(
        "Presets",
        (
            "preset",
            "config hash",
            "rows x cols",
            "weight rows / cycle",
            "MHz",
            "GMAC/s",
            "ports",
            "DMA bytes / cycle",
            "scratchpad KiB",
            "weights KiB",
            "accumulator rows",
        ),
        [
            (
                c.name,
                c.hash,
                f"{c.rows} x {c.cols}",
                c.weight_rows_per_cycle,
                c.clock_mhz,
                f"{p.derived.peak_gmacs_per_second:g}",
                f"{c.axi_ports} x {c.axi_data_bits} {c.axi_protocol}",
                c.dma_bytes,
                f"{c.scratchpad_banks} x {c.scratchpad_bank_bytes // 1024}",
                f"{c.weight_buffer_bytes // 1024}",
                c.accumulator_rows,
            )
            for p in presets
            for c in (p.chosen,)
        ],
        left=2,
    )
