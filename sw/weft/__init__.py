"""Weft's toolchain: programs, compiler, backends, command line.

Importing this package imports neither torch nor Amaranth; :func:`accelerate` imports torch when it
is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "accelerate"]

if TYPE_CHECKING:
    from weft.runtime.accelerate import accelerate


def __getattr__(name: str) -> Any:
    if name != "accelerate":
        raise AttributeError(f"module 'weft' has no attribute {name!r}")
    from weft.tools import require

    require("torch", what="weft.accelerate")
    from weft.runtime.accelerate import accelerate

    return accelerate
