"""The suite under a PATH that is not this machine's: ``python paths.py hostile|bare COMMAND ...``.

hostile : in front of what is there stand programs of the names that Weft looks for, which print
nonsense and fail. bare : a compiler, make, perl and a shell's own tools; nothing else. Both have an
empty home and cache, no locale, and no variables of Weft.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

#: What Weft, or what it uses, may look for on PATH.
NAMES = (
    "fasm2frames", "nextpnr-ecp5", "nextpnr-himbaechel", "nextpnr-xilinx", "nvidia-smi", "python",
    "python3", "sby", "scp", "ssh", "sudo", "verilator", "verilator_bin", "vivado", "xc7frames2bit",
    "yosys", "yosys-smtbmc", "iverilog", "vvp", "tclsh",
)  # fmt: skip
NONSENSE = """#!/bin/sh
echo "Segmentation fault \\377\\033[31m; Yosys 99.1 nextpnr-xilinx -- Version nonsense"
echo "ERROR: {name} of another machine" >&2
exit 1
"""
BARE = (
    "[", "ar", "as", "awk", "bash", "basename", "c++", "cat", "cc", "chmod", "cp", "cut", "date",
    "df", "dirname", "echo", "env", "expr", "find", "g++", "gcc", "git", "grep", "head", "id",
    "kill", "ld", "ln", "ls", "make", "mkdir", "mktemp", "mv", "nohup", "perl", "printf", "ps",
    "pwd", "ranlib", "rm", "rmdir", "sed", "sh", "sha256sum", "sleep", "sort", "stat", "tail",
    "test", "touch", "tr", "true", "false", "uname", "wc", "xargs",
)  # fmt: skip
#: Variables that a bare environment keeps.
KEPT = ("CI", "OMP_NUM_THREADS", "PYTHONPATH", "PYTHONWARNDEFAULTENCODING", "TMPDIR")


def make_path(kind: str, folder: Path) -> str:
    """A PATH of that kind, whose programs are made in `folder`."""
    folder.mkdir()
    if kind == "bare":
        for name in BARE:
            found = shutil.which(name)
            if found:
                (folder / name).symlink_to(Path(found).resolve())
        return str(folder)
    for name in NAMES:
        (folder / name).write_text(NONSENSE.format(name=name), encoding="utf-8")
        (folder / name).chmod(stat.S_IRWXU)
    return f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def main(arguments: list[str]) -> int:
    """Run a command so; its exit code."""
    kind, *command = arguments
    if kind not in ("hostile", "bare") or not command:
        sys.exit("usage: paths.py hostile|bare COMMAND ...")
    with tempfile.TemporaryDirectory(prefix="weft-path-") as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"PATH": make_path(kind, folder / "bin"), "HOME": str(home), "LC_ALL": "C"}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
