"""``weft board``: a virtual board, and the self-test of a real or virtual one."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from weft.files.outputs import check_writable, write_file
from weft.results import Count, plain

from . import options
from .output import machine, print_json, print_table, progress, show_reports

if TYPE_CHECKING:
    from weft.backend.pynq.frames import FramedProcess

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
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="End when standard input does, as a child should.")
    ] = False,
) -> None:
    """Simulate a board that the real pynq package talks to; ends with Ctrl-C or SIGTERM.

    The programmable logic is the Verilated RTL, so a client sees what hardware would compute.
    Each --preset is a configuration that it can be loaded with; by default that of the board.
    """
    from weft.backend.pynq.frames import FramedProcess, python_with_pynq
    from weft.backend.rtl import build
    from weft_hw.config import PRESETS

    found = options.find_board(board)
    if not _is_loopback(address):
        sys.stderr.write(
            f"weft: whoever reaches {address}:{port} can use this board; there is no password\n"
        )
    names = presets or ([board] if board in PRESETS else ["tiny"])
    configs = [options.find_preset(name) for name in names]
    python, libraries = python_with_pynq(found.pynq.package), {}
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
        with _interrupted_by(signal.SIGTERM, signal.SIGHUP):
            _wait(process, until_eof)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


@contextlib.contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Leave the block at one of `signals`, as at Ctrl-C; what nohup ignores stays ignored."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    for one in signals:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, leave)
    with contextlib.suppress(KeyboardInterrupt):
        yield


def _wait(process: FramedProcess, until_eof: bool) -> None:
    """Until the process ends, which is an error, or standard input where that is asked for.

    A server in the background must not touch a terminal's input, which would stop it.
    """
    from weft.errors import DeviceError

    while process.process.poll() is None:
        if not until_eof:
            time.sleep(0.2)
            continue
        ready, _, _ = select.select([sys.stdin], [], [], 0.5)
        if ready and not os.read(sys.stdin.fileno(), 4096):
            return
    raise DeviceError("the virtual board has ended", "see its messages above")


@app.command()
def bundle(
    program: options.ProgramFile, overlay: options.Bitstream, output: options.OutputFile
) -> None:
    """Write one zip for a board without internet: wheel, overlay, program, notebook."""
    from weft.deploy.offline import offline_zip

    check_writable(output)
    data = offline_zip(program, overlay)
    write_file(output, data)
    print(f"{output}: {len(data):,} bytes")


@app.command()
def selftest(
    overlay: options.Bitstream,
    host: options.Host = "",
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Check registers, DMA and one product against the emulator."""
    from weft.backend.pynq.process import PynqProcess
    from weft.deploy.selftest import selftest as check

    with PynqProcess(overlay, host, port) as opened:
        show_reports("board-selftest", opened.config, [plain(check(opened))], json)


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
