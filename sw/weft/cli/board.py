"""``weft board``: a virtual board, and the self-test of a real or virtual one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Annotated

import typer

from weft.results import Count

from . import options
from .opening import open_board
from .output import machine, print_json, print_table, progress, show_reports

__all__ = ["BoardEntry", "app"]

app = typer.Typer(help="Boards: serve a virtual one, test one.", no_args_is_help=True)


@dataclass(frozen=True)
class BoardEntry:
    """A board."""

    name: str
    part: str
    ddr_bytes: Count
    cma_bytes: Count
    max_clock_mhz: float
    pynq: str
    image: str


@app.command("list")
def list_boards(json: options.Json = False) -> None:
    """List the boards with their memory, clock limit, pynq version and image."""
    from weft_hw.boards import PYNQ_BOARDS

    boards = PYNQ_BOARDS.values()
    if json:
        entries = [
            BoardEntry(
                name=b.name,
                part=b.chip.part,
                ddr_bytes=b.dram.bytes,
                cma_bytes=b.pynq.cma_bytes,
                max_clock_mhz=b.system.max_clock_mhz,
                pynq=b.pynq.package,
                image=b.pynq.sd_card,
            )
            for b in boards
        ]
        print_json("board-list", entries)
        return
    print_table(
        "boards",
        boards,
        {
            "board": lambda b: b.name,
            "part": lambda b: b.chip.part,
            "DDR MiB": lambda b: b.dram.bytes >> 20,
            "CMA MiB": lambda b: b.pynq.cma_bytes >> 20,
            "data port": lambda b: f"{b.system.port_bits} bit, to {b.system.max_clock_mhz:g} MHz",
            "pynq": lambda b: b.pynq.package,
            "image": lambda b: b.pynq.sd_card,
        },
        left=2,
    )


@app.command()
def serve(
    board: options.Board,
    presets: options.Presets = [],
    address: Annotated[
        str, typer.Option("--address", help="Loopback unless you choose more.")
    ] = "127.0.0.1",
    port: options.Port = 7967,
    cma: Annotated[
        int | None,
        typer.Option("--cma", help="MiB of contiguous memory; as the board's image by default."),
    ] = None,
) -> None:
    """Simulate a board that the real pynq package talks to; ends with Ctrl-C.

    The programmable logic is the Verilated RTL, so a client sees what hardware would compute.
    Each --preset is a configuration that it can be loaded with; by default that of the board.
    """
    from weft.backend.pynq.environment import interpreter
    from weft.backend.rtl import build
    from weft_hw.config import PRESETS

    found = options.find_board(board)
    names = presets or ([board] if board in PRESETS else ["tiny"])
    configs = [options.find_preset(name) for name in names]
    python = interpreter(found.pynq.package)
    command = [python, "-m", "weft.virtual.server", "--board", board]
    command += ["--address", f"{address}:{port}"]
    with progress("building the simulator") as advance:
        for config in configs:
            path = build.library(config, progress=lambda text: advance(0, text=text))
            command += ["--library", f"{config.hash}={path}"]
    if cma is not None:
        command += ["--cma", str(cma << 20)]
    try:
        code = subprocess.run(command).returncode
    except KeyboardInterrupt:
        code = 0
    if code:
        raise typer.Exit(code)


@app.command()
def bundle(
    program: options.ProgramFile, overlay: options.Bitstream, output: options.OutputFile
) -> None:
    """Write one zip for a board without internet: wheel, overlay, program, notebook."""
    from weft.deploy.offline import offline_zip

    data = offline_zip(program, overlay)
    output.write_bytes(data)
    print(f"{output}: {len(data):,} bytes")


@app.command()
def selftest(
    overlay: options.Bitstream,
    host: options.Host = "",
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Check registers, DMA and one product against the emulator."""
    opened = open_board(overlay, host, port)
    if isinstance(opened, int):
        raise typer.Exit(opened)
    from weft.deploy.remote import as_results
    from weft.deploy.selftest import selftest as check

    with opened:
        results = as_results(opened, [check(opened)])
        show_reports("board-selftest", opened.config, results, json)


@app.command()
def overhead(
    preset: options.Preset = "pynq-z2",
    runs: Annotated[int, typer.Option("--runs", min=1, help="Inferences that are timed.")] = 200,
    json: options.Json = False,
) -> None:
    """Measure what the driver itself costs per inference, with a device that is done at once."""
    from weft.measure.overhead import overhead as measure

    config = options.find_preset(preset)
    result = measure(config, runs)
    if json:
        print_json("board-overhead", [result], config=config)
        return
    print_table(
        f"driver with a null device, {config.name}, measured on {machine()}",
        [result],
        {
            "product": lambda r: r.what,
            "inferences": lambda r: r.runs,
            "median us": lambda r: f"{r.median_us:.0f}",
            "p95 us": lambda r: f"{r.p95_us:.0f}",
            "register accesses": lambda r: r.accesses,
        },
    )
