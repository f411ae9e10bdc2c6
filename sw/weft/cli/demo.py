"""``weft demo``: real activations of a real model through the accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, Preset, Weights, find_preset
from .output import print_json, print_table, progress

if TYPE_CHECKING:
    from weft.measure.demo import LayerResult

__all__ = ["command"]


def command(
    preset: Preset = "pynq-z2",
    sentence: Annotated[
        str, typer.Option("--sentence", help="Another sentence than the built-in one.")
    ] = "",
    weights: Weights = None,
    json: Json = False,
) -> None:
    """Run the linear layers of MiniLM's first encoder layer; every element equals torch-int."""
    from weft.measure import demo
    from weft.models import minilm
    from weft.toolchain import require as require_simulator

    config = find_preset(preset)
    require_simulator()
    sentence = sentence or minilm.SENTENCE
    with progress("starting", demo.STEPS) as advance:
        results, bench = demo.run(
            config, sentence, weights, on_step=lambda done, text: advance(done, text=text)
        )
    bench.close()
    if json:
        print_json(
            "demo",
            results,
            config=config,
            clock_mhz=bench.clock_mhz,
            memory_model=bench.memory_model.hash,
        )
        return
    print(f'all-MiniLM-L6-v2, encoder layer 0, "{sentence}"')
    _show(f"{config.name} at {bench.clock_mhz} MHz, linear layers only", results)


def _show(title: str, results: list[LayerResult]) -> None:
    measured = [r.measured for r in results]
    cycles = sum(g.cycles or 0 for g in measured)
    print_table(
        title,
        results,
        {
            "layer": lambda r: r.layer,
            "M x K x N": lambda r: f"{r.measured.m} x {r.measured.k} x {r.measured.n}",
            "result": lambda r: r.measured.result,
            "cycles": lambda r: f"{r.measured.cycles:,}",
            "simulated ms": lambda r: f"{r.measured.simulated_ms:.3f}",
            "attainment": lambda r: f"{r.measured.attainment:.3f}",
            "DRAM bytes read": lambda r: f"{r.measured.bytes_read:,}",
            "DRAM bytes written": lambda r: f"{r.measured.bytes_written:,}",
            "SNR to float, dB": lambda r: f"{r.snr_db:.1f}",
            "rtl = emulator = torch-int": lambda r: "yes",
        },
        left=3,
    )
    print(
        f"all: {cycles:,} cycles, {sum(g.simulated_ms or 0 for g in measured):.3f} ms, attainment "
        f"{sum(g.roofline_cycles for g in measured) / cycles:.3f}, "
        f"{sum(g.bytes_read for g in measured):,} bytes read, "
        f"{sum(g.bytes_written for g in measured):,} written"
    )
    print("Every element of every layer is equal on the RTL, on the emulator and in torch-int.")
