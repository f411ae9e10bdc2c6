"""The backend of ``weft run``, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weft.backend.base import Backend
from weft.errors import UsageError
from weft.program import Program

__all__ = ["BACKENDS", "open_backend"]

BACKENDS = ("emulator", "rtl", "pynq")


def open_backend(
    program: Program, name: str, overlay: Path | None, host: str, port: int
) -> Backend[Any]:
    """The backend `name`.

    Raises
    ------
    UsageError
        There is none of that name, or no overlay for the board.
    """
    if name == "emulator":
        from weft.backend.emulator import EmulatorBackend

        return EmulatorBackend(program.config)
    if name == "rtl":
        from weft.backend.rtl.backend import RtlBackend

        return RtlBackend(program.config)
    if name != "pynq":
        raise UsageError(f"unknown backend {name!r}", f"choose one of {', '.join(BACKENDS)}")
    from weft.backend.pynq.process import open_pynq

    return open_pynq(program.config, overlay, host, port)
