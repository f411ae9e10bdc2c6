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
    rows = []
    for r in results:
        g = r.measured
        rows.append(
            (
                r.layer,
                f"{g.m} x {g.k} x {g.n}",
                g.result,
                f"{g.cycles:,}",
                f"{g.simulated_ms:.3f}",
                f"{g.attainment:.3f}",
                f"{g.bytes_read:,}",
                f"{g.bytes_written:,}",
                f"{r.snr_db:.1f}",
                "yes",
            )
        )
    cycles = sum(r.measured.cycles or 0 for r in results)
    total_ms = sum(r.measured.simulated_ms or 0 for r in results)
    roofline = sum(r.measured.roofline_cycles for r in results)
    read, written = (
        sum(getattr(r.measured, name) for r in results) for name in ("bytes_read", "bytes_written")
    )
    rows.append(
        (
            "all",
            "",
            "",
            f"{cycles:,}",
            f"{total_ms:.3f}",
            f"{roofline / cycles:.3f}",
            f"{read:,}",
            f"{written:,}",
            "",
            "",
        )
    )
    print_table(
        title,
        (
            "layer",
            "M x K x N",
            "result",
            "cycles",
            "simulated ms",
            "attainment",
            "DRAM bytes read",
            "DRAM bytes written",
            "SNR to float, dB",
            "rtl = emulator = torch-int",
        ),
        rows,
        left=3,
    )
    print("Every element of every layer is equal on the RTL, on the emulator and in torch-int.")
