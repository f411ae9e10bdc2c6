"""``weft run``: a program, or a compiled model, on one backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError
from weft.files.outputs import check_writable, make_folder

from .options import Backend, Host, Json, OutputFolder, Overlay, Port, ProgramFile
from .output import print_json

if TYPE_CHECKING:
    from weft.backend.opening import Where

__all__ = ["Output", "Run", "command"]


@dataclass(frozen=True)
class Output:
    """An output of the program, as NAME.npy."""

    path: Path


@dataclass(frozen=True)
class Run:
    """Outputs of a program or a model. cycles : of the accelerator; null without a clock."""

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
    """Run a program or a compiled model on .npy files, a model also on a picture.

    A program takes and gives integers; a model takes and gives float32, a batch of any size. Both
    are verified. Outputs become NAME.npy in a folder; of a model with one output, the file that
    --output names, where it ends in .npy. Backends are emulator, rtl and pynq.
    """
    from weft.artefact.loading import is_model
    from weft.backend.opening import SIMULATED

    known = (*SIMULATED, "pynq")
    if backend not in known:
        raise UsageError(f"unknown backend {backend!r}", f"choose one of {', '.join(known)}")
    where = (overlay, host, port)
    run = _run_model if is_model(program) else _run_program
    paths, cycles = run(program, inputs, output, backend, where)
    if json:
        print_json("run", [Run(backend, cycles, [Output(path) for path in paths])])
        return
    for path in paths:
        print(path)
    if cycles is not None:
        print(f"{cycles:,} cycles")


def _run_program(
    path: Path, inputs: list[str], output: Path, backend: str, where: Where
) -> tuple[list[Path], int | None]:
    from weft.backend.opening import open_backend
    from weft.program import Program
    from weft.program.npy import read_inputs, write_outputs
    from weft.verify import verify

    loaded = Program.load(path)
    verify(loaded)
    arrays = read_inputs(loaded, inputs)
    make_folder(output)
    with open_backend(backend, loaded.config, board=where) as opened:
        opened.load(loaded)
        paths = write_outputs(opened.run(arrays), output)
        return paths, opened.counters()["cycles"] if opened.counts_cycles else None


def _run_model(
    path: Path, inputs: list[str], output: Path, backend: str, where: Where
) -> tuple[list[Path], int | None]:
    from weft.host.picture import read_picture
    from weft.program.npy import named_paths, read_npy, write_npy, write_outputs
    from weft.runtime.compiled import CompiledModel

    model = CompiledModel.load(path)
    ports = {port.name: port for port in model.artefact.inputs}
    given = named_paths([*ports], inputs)
    for name in given:
        if name not in ports:
            raise UsageError(f"the model has no input {name!r}", f"it has {', '.join(ports)}")
    missing = [name for name in ports if name not in given]
    if missing:
        raise UsageError(f"input {missing[0]!r} is missing", f"give all of {', '.join(ports)}")
    pixels = model.artefact.pixels
    arrays = [
        read_npy(given[name])
        if given[name].suffix == ".npy"
        else read_picture(given[name], port.shape, pixels)
        for name, port in ports.items()
    ]
    names = [port.name for port in model.artefact.outputs]
    is_file = output.suffix == ".npy"
    if is_file:
        if len(names) > 1:
            raise UsageError(
                f"the model has {len(names)} outputs, {', '.join(names)}", "name a folder"
            )
        check_writable(output)
    else:
        make_folder(output)
    with model.open(backend, board=where) as running:
        results = running(*arrays)
        cycles = running.cycles
    found = dict(zip(names, results if isinstance(results, tuple) else (results,)))
    if is_file:
        write_npy(output, found[names[0]])
        return [output], cycles
    return write_outputs(found, output), cycles
