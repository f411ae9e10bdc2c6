"""Inputs and outputs of ``weft run``: .npy files without pickles, one backend by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from weft.backend.base import Array, Backend
from weft.errors import UsageError
from weft.program import Program

__all__ = ["BACKENDS", "open_backend", "read_inputs", "write_outputs"]

BACKENDS = ("emulator", "rtl", "pynq")


def read_inputs(program: Program, given: Sequence[str]) -> dict[str, Array]:
    """Arrays of ``NAME=PATH``, or of ``PATH`` where the program has one input.

    Raises
    ------
    UsageError
        A name is unknown or twice, or a file cannot be read.
    """
    found: dict[str, Array] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals:
            if len(program.inputs) != 1:
                names = ", ".join(program.inputs)
                raise UsageError(f"--input {item} names no input", f"write NAME={item}: {names}")
            name, path = next(iter(program.inputs)), item
        if name in found:
            raise UsageError(f"input {name!r} is given twice", "give it once")
        try:
            found[name] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {path}: {error}", "name a .npy file") from None
    return found


def write_outputs(arrays: Mapping[str, Array], folder: Path) -> list[Path]:
    """Write ``NAME.npy`` for each; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, array in arrays.items():
        paths.append(folder / f"{name}.npy")
        np.save(paths[-1], array, allow_pickle=False)
    return paths


def open_backend(
    program: Program, name: str, overlay: Path | None, host: str, port: int
) -> Backend | int:
    """The backend `name`, or an exit code where another Python did the work.

    Raises
    ------
    UsageError
        There is none of that name, or pynq was chosen without an overlay.
    """
    if name == "emulator":
        from weft.backend.emulator import EmulatorBackend

        return EmulatorBackend(program.config)
    if name == "rtl":
        from weft.backend.rtl import RtlBackend

        return RtlBackend(program.config)
    if name != "pynq":
        raise UsageError(f"unknown backend {name!r}", f"choose one of {', '.join(BACKENDS)}")
    if overlay is None:
        raise UsageError("the pynq backend needs an overlay", "give --overlay FILE.bit")
    from weft.cli.session import open_board

    return open_board(overlay, host, port)
