"""``weft demo``: real activations of a real model through the accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from .output import find_preset, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.measure.demo import LayerResult

__all__ = ["command"]


def command(
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    sentence: str = typer.Option("", "--sentence", help="Another sentence than the built-in one."),
    weights: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Run the linear layers of MiniLM's first encoder layer; every element equals torch-int."""
    from weft.measure import demo
    from weft.models import minilm
    from weft.tools import require_simulator

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
            [r.as_dict() for r in results],
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
