"""Names on the command line to boards and configurations."""

from __future__ import annotations

from collections.abc import Sequence

from weft.errors import UsageError
from weft_hw.boards import Board, BoardError, pynq_board
from weft_hw.config import AcceleratorConfig, ConfigError

__all__ = ["changed", "find_board"]


def find_board(name: str) -> Board:
    """The board `name`, or the usage error that lists those that exist."""
    try:
        return pynq_board(name)
    except BoardError as error:
        raise UsageError(str(error), "choose one of them") from None


def changed(config: AcceleratorConfig, changes: Sequence[str]) -> AcceleratorConfig:
    """`config` with ``NAME=VALUE`` applied.

    Raises
    ------
    UsageError
        A change is malformed, or breaks a rule of configurations.
    """
    values: dict[str, int | str] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, not {change!r}", "see weft presets --json")
        values[name] = int(value) if value.lstrip("-").isdecimal() else value
    try:
        return config.replace(**values)
    except ConfigError as error:
        raise UsageError(str(error), "see weft presets --json") from None
