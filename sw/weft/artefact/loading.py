"""The program in a file, whether it is a program file or a model file."""

from __future__ import annotations

from pathlib import Path

from weft.errors import UsageError
from weft.program import Program
from weft.verify import verify

from .artefact import Artefact
from .file import MAGIC

__all__ = ["is_model", "single_program"]


def is_model(path: Path) -> bool:
    """Whether a file starts as a model file does; who reads it says what else is wrong."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def single_program(path: Path) -> Program:
    """The verified program of a program file, or the one of a model file.

    Raises
    ------
    UsageError
        The file cannot be read, or is a model with several programs, or none.
    ProgramFileError, Mismatch, ProgramRefused
        As :meth:`weft.program.Program.load` and :meth:`Artefact.load`.
    """
    if not is_model(path):
        program = Program.load(path)
        verify(program)
        return program
    programs = Artefact.load(path).programs
    if len(programs) != 1:
        raise UsageError(
            f"{path} is a model of {len(programs)} programs, and one is deployed",
            "see weft explain for what runs between them",
        )
    return programs[0]
