"""Overlays that ``pynq.Overlay("NAME.bit")`` finds from any directory.

pynq searches the package path of each ``pynq.overlays`` entry point, and this is one. The path is a
folder of the user, not of the installation: it outlives upgrades, needs no rights, and is the same
for a wheel and a checkout. ``weft bitstreams add`` puts overlays there. Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["folder"]


def folder() -> Path:
    """``$WEFT_BITSTREAMS``, or ``weft/overlays`` in the user's data (``~/.local/share``)."""
    chosen = os.environ.get("WEFT_BITSTREAMS")
    if chosen:
        return Path(chosen).absolute()
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "weft" / "overlays"


#: pynq takes the first path only.
__path__ = [str(folder())]
