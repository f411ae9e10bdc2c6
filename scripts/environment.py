"""Make .venv with pinned versions: ``environment.py demo|all [--torch cpu|cuda]``.

Standard library only; runs on the system's Python. Says in one line what is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
EXTRAS = {
    "demo": "hw,sim,torch,minilm",
    "all": "hw,sim,torch,minilm,vision,onnx,synth,pnr,formal,dev",
}
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SECONDS = 5


def fail(sentence: str) -> None:
    """End with one line."""
    sys.exit(f"weft: {sentence}")


def check_machine() -> None:
    """Refuse a machine that cannot build, naming everything that is missing at once."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        fail(
            f"Python 3.10 to 3.12 is needed, not {sys.version_info[0]}.{sys.version_info[1]}; "
            "choose one with make PYTHON=/path/to/python3.11"
        )
    missing = [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]
    if missing:
        fail(f"missing {', '.join(missing)}; run: apt-get install -y {' '.join(missing)}")


def make_venv() -> None:
    """Create .venv, or keep the one that has the same Python and a working pip."""
    if PYTHON.exists() and pip("--version", check=False, quiet=True) == 0:
        return
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True).returncode:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        fail(f"this Python has no venv module; run: apt-get install -y python{version}-venv")


def pip(*arguments: str, check: bool = True, quiet: bool = False) -> int:
    """Run pip inside .venv; its chatter is shown only when it fails."""
    done = subprocess.run(
        [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd=ROOT,
        env={**os.environ, "PIP_NO_INPUT": "1"},
    )
    if done.returncode and check:
        sys.stderr.write(done.stdout + done.stderr)
        fail(f"pip failed: pip {' '.join(arguments)}")
    if not quiet and done.returncode == 0:
        last = [line for line in done.stdout.splitlines() if line.startswith("Successfully")]
        print(f"  {len(last[-1].split()) - 2} packages" if last else "  already there", flush=True)
    return done.returncode


def reachable(url: str) -> bool:
    """Whether `url` answers in time."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS):
            return True
    except OSError:
        return False


def torch_options(pin: str, choice: str) -> list[str]:
    """pip options that select the CPU or the CUDA build of torch; prints what will come."""
    if choice == "cuda":
        print("torch: CUDA build from PyPI, about 1.7 GB of downloads")
        return []
    local = pip("install", "--dry-run", "--no-deps", "--no-index", pin, check=False, quiet=True)
    if local == 0:
        print("torch: local CPU wheel")
        return []
    if reachable(f"{TORCH_INDEX}/torch/"):
        print("torch: CPU build from PyTorch's index, about 0.2 GB of downloads")
        return ["--index-url", TORCH_INDEX, "--extra-index-url", "https://pypi.org/simple"]
    print("torch: no CPU build can be reached; PyPI's CUDA build, about 1.7 GB of downloads")
    return []


def installed_torch() -> str | None:
    """"cpu" or "cuda", the build in .venv; None where there is none."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    done = subprocess.run(
        [str(PYTHON), "-c", code],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        return None
    return "cpu" if done.stdout.strip().endswith("+cpu") else "cuda"


def install(what: str, torch: str) -> None:
    """Install the project, editable, with the extras of `what`."""
    version = subprocess.run(
        [str(PYTHON), "-c", "import sys; print(*sys.version_info[:2], sep='')"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    ).stdout.strip()
    constraints = ROOT / "constraints" / f"py{version}.txt"
    if not constraints.exists():
        fail(f"there is no {constraints.relative_to(ROOT)}; remove .venv and take Python 3.10-3.12")
    pins = constraints.read_text(encoding="utf-8").split()
    pin = next(s for s in pins if s.startswith("torch=="))
    limits = ("-c", str(constraints))
    if torch == "cuda" and installed_torch() == "cpu":
        pip("uninstall", "--yes", "torch", quiet=True)
    if installed_torch() is None:
        pip("install", pin, *torch_options(pin, torch), *limits)
    print(f"weft[{EXTRAS[what]}] into {VENV.name}", flush=True)
    pip("install", "-e", f".[{EXTRAS[what]}]", *limits)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=sorted(EXTRAS))
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    check_machine()
    make_venv()
    install(options.what, options.torch)


if __name__ == "__main__":
    main()
