"""The programs and databases of the open flow: where they are, or what to get."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from weft.errors import ToolMissing

from .process import version_of
from .yosys import find_yosys

__all__ = ["CHIPDB", "DATABASE", "Tools", "find_tools"]

#: Environment variables that name the databases.
CHIPDB, DATABASE = "WEFT_CHIPDB", "WEFT_PRJXRAY_DB"
#: openXC7's fork, and the two names of nextpnr's own Xilinx build.
_NEXTPNR = ("nextpnr-xilinx", "nextpnr-himbaechel-xilinx", "nextpnr-himbaechel")
_XRAY = {
    "fasm2frames": "turns the routed design into frames",
    "xc7frames2bit": "turns frames into a bitstream",
}


@dataclass(frozen=True)
class Tools:
    """Commands, and paths of databases.

    yosys : beginning of a command; nextpnr, fasm2frames, xc7frames2bit : programs, the last two
    empty where no bitstream is wanted. chipdb : of nextpnr-xilinx, which needs one; others have
    theirs built in, and take the one that is named. database : Project X-Ray's for Zynq-7000.
    """

    yosys: tuple[str, ...]
    nextpnr: str
    chipdb: Path | None
    fasm2frames: str = ""
    xc7frames2bit: str = ""
    database: Path | None = None

    @property
    def himbaechel(self) -> bool:
        """nextpnr's own build, whose options differ from the fork's."""
        return "himbaechel" in Path(self.nextpnr).name

    def versions(self) -> dict[str, str]:
        """Tool -> first line of what it says of itself; empty where it says nothing."""
        commands = {"yosys": self.yosys, Path(self.nextpnr).name: (self.nextpnr,)}
        if self.xc7frames2bit:
            commands["xc7frames2bit"] = (self.xc7frames2bit,)
        return {name: version_of(command) for name, command in commands.items()}


def find_tools(
    part: str,
    *,
    bitstream: bool = True,
    chipdb: Path | None = None,
    database: Path | None = None,
) -> Tools:
    """The tools for `part`.

    Parameters
    ----------
    part : str
        For example xc7z020clg400-1.
    bitstream : bool
        Also what comes after routing.
    chipdb : Path, optional
        File, or folder that holds it under the part's name; ``$WEFT_CHIPDB`` by default.
    database : Path, optional
        Folder ``zynq7`` of Project X-Ray's database, or the one above it; ``$WEFT_PRJXRAY_DB`` by
        default.

    Raises
    ------
    ToolMissing
        The sentence names all that is missing, the remedy how to get each.
    """
    missing: dict[str, str] = {}  # what -> how to get it
    yosys = find_yosys()
    if not yosys:
        missing["yosys (maps to cells)"] = "pip install 'weft[synth]'"
    nextpnr = next((path for name in _NEXTPNR if (path := shutil.which(name))), "")
    if not nextpnr:
        missing["nextpnr-xilinx (places and routes)"] = (
            "build nextpnr-xilinx of openXC7, or nextpnr with its himbaechel architecture for "
            "Xilinx"
        )
    place = chipdb or _path(CHIPDB)
    found_chipdb = _chipdb(place, part)
    # The fork needs a database; nextpnr's own build has one, and takes another where it is named.
    if found_chipdb is None and (
        place is not None or not nextpnr or Path(nextpnr).name == "nextpnr-xilinx"
    ):
        missing[f"a chip database for {part}"] = (
            f"make one with bbaexport.py and bbasm of nextpnr-xilinx, and set {CHIPDB} to the "
            "file or its folder"
        )
    programs = {}
    found_database = None
    if bitstream:
        for name, purpose in _XRAY.items():
            programs[name] = shutil.which(name) or ""
            if not programs[name]:
                missing[f"{name} ({purpose})"] = "build Project X-Ray (prjxray)"
        found_database = _database(database or _path(DATABASE), part)
        if found_database is None:
            missing[f"Project X-Ray's database of {part}"] = (
                f"get prjxray-db and set {DATABASE} to its folder"
            )
    if missing:
        raise ToolMissing(
            f"the open toolchain lacks {', '.join(missing)}",
            "; ".join(dict.fromkeys(missing.values())),
        )
    return Tools(
        yosys=yosys, nextpnr=nextpnr, chipdb=found_chipdb, database=found_database, **programs
    )


def _path(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def _chipdb(place: Path | None, part: str) -> Path | None:
    if place is None:
        return None
    device = part.split("-")[0]
    names = (f"{part}.bin", f"{device}.bin", f"{device[:7]}.bin", f"chipdb-{device[:7]}.bin")
    choices = [place, *(place / name for name in names)]
    return next((p.resolve() for p in choices if p.is_file()), None)


def _database(place: Path | None, part: str) -> Path | None:
    if place is None:
        return None
    choices = [place, place / "zynq7"]
    return next((p.resolve() for p in choices if (p / part / "part.yaml").is_file()), None)
