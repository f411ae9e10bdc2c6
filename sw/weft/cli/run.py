"""``weft run``: one program on one backend."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from .output import print_json

__all__ = ["command"]


def command(
    program: Path = typer.Argument(help="A .weft file."),
    inputs: list[str] = typer.Option(
        ..., "--input", help="NAME=X.npy; without NAME= where there is one input."
    ),
    output: Path = typer.Option(Path("."), "-o", "--output", help="Folder for NAME.npy."),
    backend: str = typer.Option("emulator", "--backend", help="emulator, rtl or pynq."),
    overlay: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None,
        "--overlay",
        help="pynq: .bit, with .hwh and manifest beside it; by default the one that fits.",
    ),
    host: str = typer.Option("", "--host", help="pynq: the board; this machine if not given."),
    port: int = typer.Option(7967, "--port", help="pynq: of its PYNQ.remote server."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Run a program on arrays from .npy files, and write its outputs."""
    from weft.program import Program
    from weft.program.npy import read_inputs, write_outputs

    from .run_files import open_backend

    loaded = Program.load(program)
    arrays = read_inputs(loaded, inputs)
    with open_backend(loaded, backend, overlay, host, port) as opened:
        opened.load(loaded)
        paths = write_outputs(opened.run(arrays), output)
        cycles = opened.counters()["cycles"] if opened.capabilities().cycles else None
    if json:
        results = [{"path": str(p)} for p in paths]
        print_json("run", [{"backend": backend, "cycles": cycles, "outputs": results}])
        return
    for path in paths:
        print(path)
    if cycles is not None:
        print(f"{cycles:,} cycles")
