"""``weft run``: one program on one backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from weft.errors import UsageError
from weft.files.outputs import make_folder

from .options import Backend, Host, Json, OutputFolder, Overlay, Port, ProgramFile
from .output import print_json

__all__ = ["Output", "Run", "command"]


@dataclass(frozen=True)
class Output:
    """An output of the program, as NAME.npy."""

    path: Path


@dataclass(frozen=True)
class Run:
    """Outputs of a program. cycles : null on a backend without a clock."""

    backend: str
    cycles: int | None
    outputs: list[Output]


def command(
    program: ProgramFile,
    inputs: Annotated[
        list[str],
        typer.Option("--input", help="NAME=X.npy; without NAME= where there is one input."),
    ],
    output: OutputFolder = Path("."),
    backend: Backend = "emulator",
    overlay: Overlay = None,
    host: Host = "",
    port: Port = 7967,
    json: Json = False,
) -> None:
    """Verify a program, run it on arrays from .npy files, and write its outputs as NAME.npy.

    Backends are emulator, rtl and pynq.
    """
    from weft.backend.opening import SIMULATED, open_backend
    from weft.program import Program
    from weft.program.npy import read_inputs, write_outputs
    from weft.verify import verify

    loaded = Program.load(program)
    verify(loaded)
    arrays = read_inputs(loaded, inputs)
    known = (*SIMULATED, "pynq")
    if backend not in known:
        raise UsageError(f"unknown backend {backend!r}", f"choose one of {', '.join(known)}")
    make_folder(output)
    with open_backend(backend, loaded.config, board=(overlay, host, port)) as opened:
        opened.load(loaded)
        paths = write_outputs(opened.run(arrays), output)
        cycles = opened.counters()["cycles"] if opened.counts_cycles else None
    if json:
        print_json("run", [Run(backend, cycles, [Output(path) for path in paths])])
        return
    for path in paths:
        print(path)
    if cycles is not None:
        print(f"{cycles:,} cycles")
