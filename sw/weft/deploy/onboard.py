"""Weft on the board itself: ``python3 -m weft.deploy.onboard``, with what every PYNQ image has.

numpy, pynq and the contract only: neither typer nor rich. The last line on standard output is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from weft.errors import UsageError, WeftError

__all__ = ["main"]


def _deploy(overlay: Path, program: Path) -> dict[str, Any]:
    """The self-test, then the program against the emulator."""
    from weft.artefact.loading import single_program
    from weft.backend.pynq.backend import PynqBackend
    from weft.bundle.manifest import Manifest
    from weft.results import plain

    from .selftest import check

    loaded = single_program(program)
    loaded.require_config(Manifest.load(overlay.with_suffix(".json")).config)
    with PynqBackend(overlay) as backend:
        return {"results": [plain(r) for r in check(backend, loaded, program.name)]}


def _run(overlay: Path, program: Path, inputs: list[str], output: Path) -> dict[str, Any]:
    """The program, or the model, on arrays from .npy files."""
    from weft.artefact.loading import is_model
    from weft.backend.pynq.backend import PynqBackend
    from weft.program import Program
    from weft.program.npy import read_inputs, write_outputs

    if is_model(program):
        return _run_model(overlay, program, inputs, output)
    loaded = Program.load(program)
    arrays = read_inputs(loaded, inputs)
    with PynqBackend(overlay) as backend:
        backend.load(loaded)
        paths = write_outputs(backend.run(arrays), output)
        cycles = backend.counters()["cycles"]
        clock = backend.clock_mhz
    return {"outputs": [str(p) for p in paths], "cycles": cycles, "clock_mhz": clock}


def _run_model(
    overlay: Path, path: Path, inputs: list[str], output: Path
) -> dict[str, Any]:
    from weft.backend.pynq.backend import PynqBackend
    from weft.program.npy import named_paths, read_npy, write_outputs
    from weft.runtime.compiled import CompiledModel, RunningModel

    model = CompiledModel.load(path)
    ports = [port.name for port in model.artefact.inputs]
    given = named_paths(ports, inputs)
    if set(given) != set(ports):
        raise UsageError(f"the model has the inputs {', '.join(ports)}", "give each of them once")
    with PynqBackend(overlay) as backend:
        running = RunningModel(model, backend)
        results = running(*(read_npy(given[name]) for name in ports))
        clock = backend.clock_mhz
    found = results if isinstance(results, tuple) else (results,)
    names = [port.name for port in model.artefact.outputs]
    paths = write_outputs(dict(zip(names, found)), output)
    return {"outputs": [str(p) for p in paths], "cycles": running.cycles, "clock_mhz": clock}


def main(arguments: list[str] | None = None) -> int:
    """``deploy OVERLAY PROGRAM`` or ``run OVERLAY PROGRAM --input NAME=X.npy``; the exit code."""
    parser = argparse.ArgumentParser(prog="weft.deploy.onboard")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("deploy", "run"):
        one = commands.add_parser(name)
        one.add_argument("overlay", type=Path, help=".bit, with .hwh and manifest beside it")
        one.add_argument("program", type=Path, help="a .weft file")
        if name == "run":
            one.add_argument("--input", action="append", required=True, metavar="NAME=X.npy")
            one.add_argument("--output", type=Path, default=Path(), help="folder for NAME.npy")
    given = parser.parse_args(arguments)
    output, sys.stdout = sys.stdout, sys.stderr  # pynq prints
    try:
        if given.command == "deploy":
            answer = _deploy(given.overlay, given.program)
        else:
            answer = _run(given.overlay, given.program, given.input, given.output)
        code = 0
    except WeftError as error:
        code = error.exit_code
        answer = error.as_dict()
    except MemoryError:
        code = UsageError.exit_code
        answer = UsageError(
            "the board's memory is too small for the emulator to check this program",
            "close other programs there, or deploy a smaller one",
        ).as_dict()
    finally:
        sys.stdout = output
    print(json.dumps(answer), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
