"""Where an interpreter with pynq is: this one, or one in an environment of its own."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from weft.errors import ToolMissing

__all__ = ["delegate", "interpreter"]

_ROOT = Path(__file__).resolve().parents[4]


def interpreter(version: str) -> str:
    """A Python that has pynq `version`.

    That is this one, ``$WEFT_PYNQ_PYTHON``, or what scripts/pynq_environment.py made.

    Raises
    ------
    ToolMissing
        There is none.
    """
    try:
        if importlib.metadata.version("pynq") == version:
            return sys.executable
    except importlib.metadata.PackageNotFoundError:
        pass
    chosen = os.environ.get("WEFT_PYNQ_PYTHON")
    if chosen:
        return chosen
    made = _ROOT / "build" / "pynq-venv" / version / "bin" / "python"
    if not made.exists():
        raise ToolMissing(
            f"there is no Python with pynq {version}",
            f"run make pynq in the repository, or pip install 'weft[pynq]' 'pynq=={version}' in an "
            "environment of its own and set WEFT_PYNQ_PYTHON to its Python",
        )
    return str(made)


def delegate(version: str, *more: str) -> int | None:
    """Run this very command line, and `more`, under a Python with pynq; its exit code.

    None where this Python has pynq already.
    """
    python = interpreter(version)
    if Path(python).absolute() == Path(sys.executable).absolute():
        return None
    environment = {**os.environ, "WEFT_PYNQ_PYTHON": python}
    return subprocess.run([python, "-m", "weft", *sys.argv[1:], *more], env=environment).returncode
