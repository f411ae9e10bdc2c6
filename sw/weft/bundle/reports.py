"""Brings the manifest of a bundle up to date after Vivado ran in its folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from weft.errors import Mismatch, UsageError
from weft.synth.vivado import read_reports

from .manifest import Manifest, sha256

__all__ = ["SIDE_FILES", "finish"]

#: JSON files of a bundle that are no manifests.
SIDE_FILES = ("weft_top.json", "weft_shell.json")


def finish(folder: Path) -> Manifest:
    """Bring the manifest of a bundle up to date after Vivado ran in its folder.

    A manifest that has its bitstream already, from the open tools or for a virtual board, is
    checked and left as it is.

    Raises
    ------
    UsageError
        There is no bundle, more than one, or its bitstream is missing.
    Mismatch
        The timing was not met, or a file is not what the manifest says.
    """
    manifest = Manifest.load(_find_manifest(folder))
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


def _find_manifest(folder: Path) -> Path:
    found = sorted(p for p in folder.glob("weft_*.json") if p.name not in SIDE_FILES)
    if not found:
        raise UsageError(f"{folder} holds no bundle", "name a folder of weft build")
    if len(found) > 1:
        raise UsageError(
            f"{folder} holds several bundles: {', '.join(p.name for p in found)}",
            "give each a folder of its own",
        )
    return found[0]
