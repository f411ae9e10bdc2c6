"""Vivado on a bundle: run it, read its reports, bring the manifest up to date."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

from weft.errors import Mismatch, UsageError, WeftError

from .manifest import Manifest, sha256

__all__ = [
    "SIDE_FILES",
    "VivadoFailed",
    "find_manifest",
    "finish",
    "read_reports",
    "run_script",
    "run_vivado",
]


#: JSON files of a bundle that are no manifests.
SIDE_FILES = ("weft_top.json", "weft_shell.json")


class VivadoFailed(WeftError):
    """Vivado ended with an error; the message ends with the end of its output."""

    code = "vivado-failed"


def run_script(program: str, script: str, folder: Path, *options: str) -> Path:
    """Run a script in its folder; returns the log of what Vivado said.

    Raises
    ------
    VivadoFailed
        It ended with an error.
    """
    log = folder / "vivado.log"
    with log.open("w") as output:
        done = subprocess.run(
            [program, "-mode", "batch", "-notrace", *options, "-source", script],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise VivadoFailed(f"Vivado ended with status {done.returncode}:\n{tail}", f"see {log}")
    return log


def run_vivado(folder: Path, program: str) -> dict[str, Any]:
    """Run ``build.tcl`` of the bundle in `folder`; what :func:`read_reports` finds then.

    Raises
    ------
    VivadoFailed
        A step of the script failed, timing included.
    """
    run_script(program, "build.tcl", folder)
    return read_reports(folder / "reports")


def finish(folder: Path) -> Manifest:
    """Bring the manifest of a bundle up to date after Vivado ran in its folder.

    A manifest that has its bitstream already, from the open tools or for a virtual board, is
    checked and left as it is.

    Raises
    ------
    UsageError
        There is no bundle, or its bitstream is missing.
    Mismatch
        The timing was not met, or a file is not what the manifest says.
    """
    manifest = Manifest.load(find_manifest(folder))
    if manifest.kind in ("open", "virtual"):
        manifest.verify(folder)
        return manifest
    stem, result = manifest.name, folder / "reports" / "result.txt"
    if not (folder / f"{stem}.bit").is_file() or not result.is_file():
        raise UsageError(
            f"{folder} has no bitstream yet",
            "run there: vivado -mode batch -source build.tcl",
        )
    found = read_reports(folder / "reports")
    if min(found["timing"].values()) < 0:
        raise Mismatch(
            f"{stem} misses its timing at {manifest.clock_mhz:g} MHz: {found['timing']}",
            "build with a lower --clock",
        )
    files = [*manifest.files, *([] if f"{stem}.bit" in manifest.files else [f"{stem}.bit"])]
    finished = dataclasses.replace(
        manifest,
        kind="vivado",
        files={name: sha256(folder / name) for name in files},
        tools={**manifest.tools, "vivado": str(found["tools"]["vivado"])},
        resources=found["resources"],
        timing=found["timing"],
    )
    finished.save(folder)
    return finished


def find_manifest(folder: Path) -> Path:
    """The manifest of a bundle.

    Raises
    ------
    UsageError
        There is none, or more than one.
    """
    found = sorted(p for p in folder.glob("weft_*.json") if p.name not in SIDE_FILES)
    if not found:
        raise UsageError(f"{folder} holds no bundle", "name a folder of weft build")
    if len(found) > 1:
        raise UsageError(
            f"{folder} holds several bundles: {', '.join(p.name for p in found)}",
            "give each a folder of its own",
        )
    return found[0]


#: Row of Vivado's utilisation report -> name in the manifest; 7 series and UltraScale+ differ.
_ROWS = {
    "Slice LUTs": "lut",
    "CLB LUTs": "lut",
    "Slice Registers": "flip_flops",
    "CLB Registers": "flip_flops",
    "Block RAM Tile": "bram36",
    "URAM": "uram",
    "DSPs": "dsp",
}


def read_reports(folder: Path) -> dict[str, Any]:
    """Resources, timing and tool version from the reports that ``build.tcl`` writes.

    Raises
    ------
    Mismatch
        A report is missing or not what the script writes.
    """
    try:
        return _read_reports(folder)
    except (OSError, ValueError, KeyError) as error:
        raise Mismatch(
            f"the reports in {folder} cannot be read: {error}",
            "run vivado -mode batch -source build.tcl again",
        ) from None


def _read_reports(folder: Path) -> dict[str, Any]:
    resources: dict[str, float] = {}
    for line in (folder / "utilization.txt").read_text().splitlines():
        cells = [cell.strip().rstrip("*") for cell in line.split("|")]
        if len(cells) > 3 and cells[1] in _ROWS and re.fullmatch(r"[\d.]+", cells[2]):
            resources.setdefault(_ROWS[cells[1]], float(cells[2]))
    pairs = dict(line.split(" ", 1) for line in (folder / "result.txt").read_text().splitlines())
    version = {"vivado": pairs.pop("vivado", "")}
    timing = {name: float(pairs[name]) for name in ("wns_ns", "whs_ns")}
    return {"resources": resources, "timing": timing, "tools": version}
