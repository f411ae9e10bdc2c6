"""Exceptions that Weft raises on purpose: one sentence, one remedy, one exit code.

Standard library only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

__all__ = [
    "AccuracyWarning",
    "DeviceError",
    "Mismatch",
    "ProgramFileError",
    "ProgramRefused",
    "ToolMissing",
    "ToolWarning",
    "Unsupported",
    "UsageError",
    "WeftError",
    "WeftWarning",
    "error_from",
]


class WeftError(Exception):
    """Base of all errors of Weft.

    Parameters
    ----------
    message : str
        What is wrong: the thing, the rule, and what came.
    remedy : str
        What the user can do about it; may be empty.
    """

    #: Short kebab-case name for machines.
    code = "error"
    #: Exit status of the command line.
    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message

    def as_dict(self) -> dict[str, Any]:
        """JSON values of which another process makes the same error, see :func:`error_from`."""
        return {"code": self.code, **vars(self)}


class WeftWarning(UserWarning):
    """What Weft does all the same, and people should know."""


class AccuracyWarning(WeftWarning):
    """Results are right by the integers, and far from what floats would give."""


class ToolWarning(WeftWarning):
    """A tool does its work, but slower or less surely than it can."""


class UsageError(WeftError, ValueError):
    """The caller asked for something that does not exist or is malformed."""

    code = "usage"
    exit_code = 2


class ToolMissing(WeftError, RuntimeError):
    """A program or package that the task needs is not installed."""

    code = "tool-missing"
    exit_code = 3


class Unsupported(WeftError, ValueError):
    """A sound request that this accelerator, or this version, cannot serve."""

    code = "unsupported"
    exit_code = 4


class ProgramRefused(Unsupported):
    """The verifier refuses a program; ``index`` is the instruction at fault, ``rule`` its name.

    Parameters
    ----------
    rule : str
        Kebab-case name of the rule, for example ``hazard`` or ``deadlock``.
    index : int
        Instruction index; -1 where the whole program is at fault.
    """

    code = "program-refused"

    def __init__(self, message: str, remedy: str = "", *, rule: str, index: int = -1) -> None:
        super().__init__(message, remedy)
        self.rule = rule
        self.index = index


class Mismatch(WeftError, ValueError):
    """Two things that must be equal are not; the message holds both."""

    code = "mismatch"
    exit_code = 5


class ProgramFileError(Mismatch):
    """A program file that is not what its header, or its digest, says."""

    code = "program-file"


class DeviceError(WeftError, RuntimeError):
    """The accelerator, or its emulator, stopped.

    Parameters
    ----------
    error_code : int
        Value of ``weft_hw.isa.ErrorCode``; 0 where the device itself failed.
    instruction : int
        Index of the failing instruction; -1 where there is none.
    """

    code = "device"
    exit_code = 6

    def __init__(
        self, message: str, remedy: str = "", *, error_code: int = 0, instruction: int = -1
    ) -> None:
        super().__init__(message, remedy)
        self.error_code = error_code
        self.instruction = instruction


def error_from(given: Mapping[str, Any]) -> WeftError:
    """The error that :meth:`WeftError.as_dict` described: of its own class where that is known
    here, otherwise a DeviceError of the same sentence."""
    fields = dict(given)
    code, message, remedy = (str(fields.pop(n, "")) for n in ("code", "message", "remedy"))
    kinds: list[type[WeftError]] = [WeftError]
    for kind in kinds:
        if kind.code == code and all(isinstance(value, (int, str)) for value in fields.values()):
            with contextlib.suppress(TypeError):  # fields that the class has not
                return kind(message, remedy, **fields)
        kinds += kind.__subclasses__()
    return DeviceError(message, remedy)
