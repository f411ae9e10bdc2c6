"""From a routed design to a .bit, with Project X-Ray."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

from weft.errors import DeviceError, ToolWarning
from weft.files import bitfile

from .open_tools import Tools
from .process import run_tool
from .zynq7 import FASM

__all__ = ["make_bitstream"]

_FRAMES = "weft_shell.frames"
#: What wakes the configuration logic of a 7-series chip (UG470, table 5-19), in the first bytes.
_SYNC = bytes.fromhex("aa995566")
_SYNC_WITHIN = 1024


def make_bitstream(tools: Tools, folder: Path, part: str, name: str) -> Path:
    """Write ``NAME.bit`` from the routed design in `folder`, and check that pynq can load it.

    Raises
    ------
    DeviceError
        A tool failed, or the file is not what the FPGA manager takes.
    """
    path = folder / f"{name}.bit"
    path.unlink(missing_ok=True)
    if _parses_slowly(tools.fasm2frames):
        warnings.warn(
            "fasm2frames reads the design with its slow parser, which may take hours; "
            "install the fasm package with its ANTLR parser",
            ToolWarning,
            stacklevel=2,
        )
    command = [tools.fasm2frames, "--part", part, "--db-root", str(tools.database), FASM]
    run_tool(tuple(command), folder, "fasm2frames.log", output=_FRAMES)
    command = [tools.xc7frames2bit, "--part_file", f"{tools.database}/{part}/part.yaml"]
    command += ["--part_name", part, "--frm_file", _FRAMES, "--output_file", path.name]
    run_tool(tuple(command), folder, "xc7frames2bit.log", results=(path.name,))
    try:
        _check(path.read_bytes(), part)
    except ValueError as error:
        path.rename(path.with_suffix(".bit.refused"))
        raise DeviceError(
            f"xc7frames2bit wrote a bitstream that no board takes: {error}",
            f"see {path.with_suffix('.bit.refused')}",
        ) from None
    return path


def _parses_slowly(fasm2frames: str) -> bool:
    """Whether the package fasm lacks its compiled parser: it says so whenever it starts."""
    done = subprocess.run(
        [fasm2frames, "--help"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return "much slower" in done.stdout + done.stderr


def _check(data: bytes, part: str) -> None:
    found = bitfile.parse(data)
    if part.removeprefix("xc").split("-")[0] not in found.part:
        raise ValueError(f"it is for {found.part or 'no part'}, not for {part}")
    if _SYNC not in found.payload[:_SYNC_WITHIN]:
        raise ValueError("it holds no synchronisation word")
