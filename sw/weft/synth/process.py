"""One run of a tool in a working folder: its log, its results, its last error.

Some tools are WebAssembly, translated to machine code at their first start. The runtime keeps the
translation (over a minute of processor time for Yosys) in a file that it writes in place. Two first
starts at once would each translate, and one might map a file that the other shortens, which ends it
with a bus error: so first starts come one after the other.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from weft.errors import DeviceError
from weft.files.private import locked, user_folder

__all__ = ["packaged", "run_tool", "version_of"]


def packaged(module: str, function: str) -> tuple[str, ...]:
    """Beginning of a command: a tool that is a Python package, without looking for it on PATH."""
    start = f"import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"
    return sys.executable, "-c", start


@functools.cache
def version_of(command: tuple[str, ...]) -> str:
    """First line of what a tool says of itself; empty where it does not start.

    A tool of a package is translated when this returns.
    """
    lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if _is_packaged(command):
        lock = locked(user_folder() / "wasm.lock")
    with lock:
        done = subprocess.run(
            [*command, "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else ""


def run_tool(
    command: tuple[str, ...],
    folder: Path,
    log: str,
    *,
    name: str = "",
    results: Iterable[str] = (),
    output: str | None = None,
) -> None:
    """Run `command` in `folder`.

    Parameters
    ----------
    command : tuple of str
    folder : Path
    log : str
        File there that the tool writes; what it says on the console where it writes none.
    name : str, optional
        Of the tool, for people; its file name by default.
    results : names of files
        What it has to write; none is there when it starts.
    output : str, optional
        File for its standard output, where that is a result.

    Raises
    ------
    DeviceError
        It failed, and the sentence holds its last error; or a result is missing.
    """
    name = name or Path(command[0]).name
    if _is_packaged(command):
        version_of(command[:3])
    for old in (log, *results):
        (folder / old).unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        result = stack.enter_context((folder / output).open("wb")) if output else subprocess.PIPE
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=result,
            stderr=subprocess.PIPE,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    said, path = (done.stdout or "") + done.stderr, folder / log
    if path.exists():
        said = f"{path.read_text(encoding='utf-8', errors='replace')}\n{said}"
    else:
        path.write_text(said, encoding="utf-8")
    if done.returncode:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line.upper()]
        last = (errors or lines or [f"it ended with status {done.returncode}"])[-1]
        raise DeviceError(f"{name} failed: {last}", f"see {path}")
    for result_name in results:
        if not (folder / result_name).exists():
            raise DeviceError(f"{name} failed: it wrote no {result_name}", f"see {path}")


def _is_packaged(command: tuple[str, ...]) -> bool:
    return command[:2] == (sys.executable, "-c")
