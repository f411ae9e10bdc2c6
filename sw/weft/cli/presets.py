"""``weft presets``: the named configurations and what follows from them."""

from __future__ import annotations

from typing import Any

import typer

from .output import print_json, print_table

__all__ = ["command"]


def command(
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Show the presets, with the numbers that follow from them."""
    from weft_hw.config import PRESETS

    results: list[dict[str, Any]] = [
        {
            "name": c.name,
            "config_hash": c.hash,
            "chosen": c.as_dict(),
            "derived": {
                "macs_per_cycle": c.macs_per_cycle,
                "peak_gmacs_per_second": c.macs_per_cycle * c.clock_mhz / 1000,
                "tile_cycles": c.tile_words,
                "scratchpad_bytes": c.scratchpad_bytes,
                "weight_words": c.weight_words,
                "parameter_bytes": c.parameter_bytes,
                "accumulator_bytes": 4 * c.cols * c.accumulator_rows,
                "dma_bytes_per_cycle": c.dma_bytes,
                "stripe_bytes": c.stripe_bytes,
            },
        }
        for c in PRESETS.values()
    ]
    if json:
        print_json("presets", results)
        return
    rows = []
    for c in PRESETS.values():
        rows.append(
            (
                c.name,
                c.hash,
                f"{c.rows} x {c.cols}",
                c.weight_rows_per_cycle,
                c.clock_mhz,
                f"{c.macs_per_cycle * c.clock_mhz / 1000:g}",
                f"{c.axi_ports} x {c.axi_data_bits} {c.axi_protocol}",
                c.dma_bytes,
                f"{c.scratchpad_banks} x {c.scratchpad_bank_bytes // 1024}",
                f"{c.weight_buffer_bytes // 1024}",
                c.accumulator_rows,
            )
        )
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
        rows,
        left=2,
    )
