"""Make build/pynq-venv/VERSION: environments with pynq, apart from .venv because of its pins.

``pynq_environment.py [VERSION ...]``; all versions by default. Standard library only; runs on the
system's Python. Each environment takes about 250 MB.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "pynq-venv"
#: 4.0.0 serves Zynq UltraScale+ only; Zynq-7000 images have 3.1.
VERSIONS = ("4.0.0", "3.1.2")
#: What to install; constraints/pynq-VERSION-pyXY.txt has the exact version of each and of all that
#: they need.
REQUIREMENTS = (
    "setuptools<82",  # pynqutils imports pkg_resources, which 82 dropped
    "pycparser<3",  # pynq 3.1 reads structures that 3 changed
    "numpy<2",  # as on the boards
    "typer>=0.12",  # `weft` itself
    "rich>=13",  # `weft` itself
    "tclint==0.9.0",  # parses the Tcl in tests; its own pins clash with .venv
    "nbclient>=0.10",  # executes the notebook in tests
    "ipykernel>=6",  # the notebook's kernel
)


def fail(sentence: str) -> None:
    """End with one line."""
    sys.exit(f"weft: {sentence}")


def run(*command: str) -> None:
    """Run a command; its output is shown only when it fails."""
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd=ROOT,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        fail(f"failed: {' '.join(command)}")


def constraints(version: str) -> Path:
    """Exact versions of everything, for this Python."""
    return ROOT / "constraints" / f"pynq-{version}-py{sys.version_info[0]}{sys.version_info[1]}.txt"


def stamp_text(version: str) -> str:
    """What an up-to-date environment was made from."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    start = project.index("[project.scripts]")
    entries = project[start : project.index("[tool.", start)]
    locked = constraints(version).read_text(encoding="utf-8")
    parts = [version, *REQUIREMENTS, locked, sys.version, str(ROOT), entries]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def make(version: str) -> None:
    """Make the environment of one version of pynq, unless it is there."""
    folder = HOME / version
    stamp = folder / ".weft-stamp"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == stamp_text(version):
        return
    print(f"pynq {version} into {folder.relative_to(ROOT)} (some minutes, 250 MB)", flush=True)
    python = str(folder / "bin" / "python")
    if subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True).returncode:
        found = f"{sys.version_info[0]}.{sys.version_info[1]}"
        fail(f"this Python has no venv module; run: apt-get install -y python{found}-venv")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--constraint", str(constraints(version)), f"pynq=={version}", *REQUIREMENTS)
    run(*pip, "--no-deps", "--editable", str(ROOT))
    stamp.write_text(stamp_text(version), encoding="utf-8")


def main() -> None:
    """Command line."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        fail(
            "pynq needs Python 3.10 to 3.12 (grpcio 1.64 has no other wheels), not "
            f"{sys.version_info[0]}.{sys.version_info[1]}"
        )
    wanted = sys.argv[1:] or list(VERSIONS)
    unknown = [v for v in wanted if v not in VERSIONS]
    if unknown:
        fail(f"unknown version {unknown[0]}; the versions are {', '.join(VERSIONS)}")
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / ".lock").open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for version in wanted:
            make(version)


if __name__ == "__main__":
    main()
