"""Options and arguments of the commands, each defined once, and the objects that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError

if TYPE_CHECKING:
    from weft_hw import boards
    from weft_hw.config import AcceleratorConfig

__all__ = [
    "AnyModel", "Backend", "Bitstream", "Board", "Changes", "Clock", "Data", "Host",
    "Json", "KeepFloat", "Model", "Network", "OutputFile", "OutputFolder", "Overlay", "Port",
    "Preset", "PresetName", "Presets",
    "ProgramFile", "Scheme", "Seed", "Target", "TextFile", "Weights", "WholeClock", "find_board",
    "find_preset", "known_model", "known_target", "read_text",
]

_PRESET = "Name of a preset; see weft presets."
_CLOCK = typer.Option("--clock", min=0, show_default=False, help="MHz; the preset's by default.")
_OVERLAY = typer.Option(
    "--overlay",
    envvar="WEFT_OVERLAY",
    help=".bit, with .hwh and manifest beside it; where it may be left out, the one that fits.",
)

PresetName = Annotated[str, typer.Argument(help=_PRESET, metavar="PRESET")]
Preset = Annotated[str, typer.Option("--preset", help=_PRESET)]
Presets = Annotated[list[str], typer.Option("--preset", help=_PRESET)]
Changes = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A parameter that differs from the preset; repeatable."
    ),
]
Clock = Annotated[float, _CLOCK]
WholeClock = Annotated[int, _CLOCK]
Target = Annotated[
    str, typer.Option("--target", help="Form of the cells: portable, xc7, xcup or xcup-uram.")
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        help="emulator, rtl, pynq, torch-int or torch-cpu (float); some commands take fewer.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of what is random.")]

Board = Annotated[str, typer.Option("--board", help="Name of a board; see weft board list.")]
Overlay = Annotated[Path | None, _OVERLAY]
Bitstream = Annotated[Path, _OVERLAY]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        envvar="WEFT_BOARD",
        help="Address of the board; the machine that this runs on by default.",
    ),
]
Port = Annotated[
    int,
    typer.Option("--port", min=1, max=65535, help="TCP port of the board's PYNQ.remote server."),
]

Model = Annotated[str, typer.Argument(help="minilm.")]
AnyModel = Annotated[
    str,
    typer.Argument(
        help="minilm, a built-in network (see weft models), FILE.py:FUNCTION, .pt2 or .onnx file.",
        metavar="MODEL",
    ),
]
Network = Annotated[
    str,
    typer.Argument(
        help="A built-in network (see weft models), FILE.py:FUNCTION, a .pt2 or an .onnx file.",
        metavar="MODEL",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="MODULE:FUNCTION",
        help="Gives batches of inputs, or of (inputs, labels), to calibrate on; a FILE.py, too.",
    ),
]
Scheme = Annotated[str, typer.Option("--scheme", help="static, per-row or plain.")]
KeepFloat = Annotated[
    list[str],
    typer.Option(
        "--keep-float", help="Name or pattern of a layer that stays on the host; repeatable."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."),
]

ProgramFile = Annotated[Path, typer.Argument(help="A .weft file.")]
TextFile = Annotated[Path, typer.Argument(help="One text per line, UTF-8.")]
OutputFile = Annotated[Path, typer.Option("-o", "--output", help="File to write.")]
OutputFolder = Annotated[
    Path, typer.Option("-o", "--output", help="Folder to write to; made if absent.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def find_preset(name: str, changes: Sequence[str] = ()) -> AcceleratorConfig:
    """The preset `name` with ``NAME=VALUE`` applied.

    Raises
    ------
    UsageError
        There is none of that name, or a change is malformed or breaks a rule of configurations.
    """
    from weft_hw.config import ConfigError, preset

    values: dict[str, int | str] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not key:
            raise UsageError(f"--set takes NAME=VALUE, not {change!r}", "see weft presets --json")
        try:
            values[key] = int(value)
        except ValueError:
            values[key] = value
    try:
        return preset(name).replace(**values) if values else preset(name)
    except ConfigError as error:
        raise UsageError(str(error), "see weft presets") from None


def find_board(name: str) -> boards.Board:
    """The board `name`, or the usage error that lists those that exist."""
    from weft_hw.boards import BoardError, pynq_board

    try:
        return pynq_board(name)
    except BoardError as error:
        raise UsageError(str(error), "choose one of them") from None


def known_model(name: str) -> None:
    """Refuse any model but minilm."""
    if name != "minilm":
        raise UsageError(f"there is no model {name!r}", "the models are: minilm")


def known_target(name: str) -> None:
    """Refuse a form of the cells that does not exist."""
    from weft_hw.target import check_target

    try:
        check_target(name)
    except ValueError as error:
        raise UsageError(str(error), "name one of them") from None


def read_text(path: Path) -> str:
    """Content of `path`, or the usage error where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "name a text file") from None
