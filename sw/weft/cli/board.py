"""``weft board``: a virtual board, and the self-test of a real or virtual one."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from .output import find_preset, machine, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.backend.pynq.frames import FramedProcess
    from weft_hw.config import AcceleratorConfig

__all__ = ["app", "show_results"]

app = typer.Typer(help="Boards: serve a virtual one, test one.", no_args_is_help=True)


@app.command("list")
def list_boards(json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """List the boards with their memory, clock limit, pynq version and image."""
    from weft_hw.boards import PYNQ_BOARDS

    if json:
        results = [
            {
                "name": b.name,
                "part": b.chip.part,
                "ddr_bytes": b.dram.bytes,
                "cma_bytes": b.pynq.cma_bytes,
                "max_clock_mhz": b.system.max_clock_mhz,
                "pynq": b.pynq.package,
                "image": b.pynq.sd_card,
            }
            for b in PYNQ_BOARDS.values()
        ]
        print_json("board-list", results)
        return
    print_table(
        "boards",
        ("board", "part", "DDR MiB", "CMA MiB", "data port", "pynq", "image"),
        [
            (
                b.name,
                b.chip.part,
                b.dram.bytes >> 20,
                b.pynq.cma_bytes >> 20,
                f"{b.system.port_bits} bit, to {b.system.max_clock_mhz:g} MHz",
                b.pynq.package,
                b.pynq.sd_card,
            )
            for b in PYNQ_BOARDS.values()
        ],
        left=2,
    )


@app.command()
def serve(
    board: str = typer.Option(..., "--board", help="Name of a board; see weft board list."),
    presets: Optional[list[str]] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--preset", help="Configurations that it can be loaded with; the board's by default."
    ),
    address: str = typer.Option("127.0.0.1", "--address", help="Loopback unless you choose more."),
    port: int = typer.Option(7967, "--port", help="TCP port; pynq's own environment uses 7967."),
    cma: Optional[int] = typer.Option(  # noqa: UP045
        None, "--cma", help="MiB of contiguous memory; as the board's image by default."
    ),
) -> None:
    """Simulate a board that the real pynq package talks to; ends with Ctrl-C.

    The programmable logic is the Verilated RTL, so a client sees what hardware would compute.
    """
    from weft.backend.pynq.frames import FramedProcess, python_with_pynq
    from weft.backend.rtl import build
    from weft.errors import UsageError
    from weft_hw.config import PRESETS

    from .lookup import find_board

    found = find_board(board)
    names = presets or ([board] if board in PRESETS else ["tiny"])
    configs = [find_preset(name) for name in names]
    python = python_with_pynq(found.pynq.package)
    if not 0 < port < 1 << 16:
        raise UsageError(f"--port must be in 1..65535, not {port}", "leave it away for 7967")
    libraries = {}
    with progress("building the simulator") as advance:
        for config in configs:
            path = build.library(config, progress=lambda text: advance(0, text=text))
            libraries[config.hash] = str(path)
    with FramedProcess(python, "weft.virtual.server", log=sys.stdout) as process:
        process.ask(
            "serve",
            board=board,
            address=f"{address}:{port}",
            libraries=libraries,
            cma=None if cma is None else cma << 20,
        )
        with contextlib.suppress(KeyboardInterrupt):
            _wait(process)


def _wait(process: FramedProcess) -> None:
    """Until standard input ends, or the process does, which is an error."""
    from weft.errors import DeviceError

    while process.process.poll() is None:
        ready, _, _ = select.select([sys.stdin], [], [], 0.5)
        if ready and not os.read(sys.stdin.fileno(), 4096):
            return
    raise DeviceError("the virtual board has ended", "see its messages above")


@app.command()
def bundle(
    program: Path = typer.Argument(help="A .weft file."),
    overlay: Path = typer.Option(..., "--overlay", help=".bit, with .hwh and manifest beside it."),
    output: Path = typer.Option(..., "-o", "--output", help="The zip to write."),
) -> None:
    """Write one zip for a board without internet: wheel, overlay, program, notebook."""
    from weft.deploy.offline import offline_zip

    from .files import write_bytes

    data = offline_zip(program, overlay)
    write_bytes(output, data)
    print(f"{output}: {len(data):,} bytes")


@app.command()
def selftest(
    overlay: Path = typer.Option(..., "--overlay", help=".bit, with .hwh and manifest beside it."),
    host: str = typer.Option("", "--host", help="The board; this machine if not given."),
    port: int = typer.Option(7967, "--port", help="Of its PYNQ.remote server."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Check registers, DMA and one product against the emulator."""
    from weft.backend.pynq.process import PynqProcess
    from weft.deploy.selftest import selftest as check

    with PynqProcess(overlay, host, port) as opened:
        show_results("board-selftest", opened.config, [check(opened)], json)


@app.command()
def overhead(
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    runs: int = typer.Option(200, "--runs", min=1, help="Inferences that are timed."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Measure what the driver itself costs per inference, with a device that is done at once."""
    from weft.measure.overhead import overhead as measure

    config = find_preset(preset)
    result = measure(config, runs)
    if json:
        print_json("board-overhead", [asdict(result)], config=config)
        return
    here = machine()
    print_table(
        f"driver with a null device, {config.name}, measured on {here['cpu']}, "
        f"{here['cores']} cores",
        ("product", "inferences", "median us", "p95 us", "register accesses"),
        [
            (
                result.what,
                result.runs,
                f"{result.median_us:.0f}",
                f"{result.p95_us:.0f}",
                result.accesses,
            )
        ],
    )


def show_results(
    command: str, config: AcceleratorConfig, results: Sequence[dict[str, Any]], as_json: bool
) -> None:
    """Print results as the command line does."""
    if as_json:
        print_json(command, results, config=config)
        return
    first = results[0]
    print_table(
        f"{first['board']}: {config.name} ({config.hash}) at {first['clock_mhz']:g} MHz, "
        f"accelerator times are {first['label']}",
        ("what", "cycles", "accelerator ms", "run ms", "register accesses", "equals emulator"),
        [
            (
                r["what"],
                f"{r['cycles']:,}",
                f"{r['accelerator_ms']:.3f}",
                f"{r['seconds'] * 1000:.1f}",
                r["accesses"],
                "yes",
            )
            for r in results
        ],
    )
