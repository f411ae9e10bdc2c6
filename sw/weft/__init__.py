"""Weft's toolchain: compiler, programs, backends, command line.

Importing this package imports neither torch nor Amaranth; its names are imported when first used:
``weft.quantise`` a model, ``weft.compile`` a graph, ``weft.open_backend``, and run; or
``weft.accelerate`` a torch model, which does all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Program", "__version__", "accelerate", "compile", "open_backend", "quantise"]

if TYPE_CHECKING:
    from weft.backend.opening import open_backend
    from weft.compiler.lower.program import compile_graph as compile
    from weft.compiler.quantise.model import quantise
    from weft.program import Program
    from weft.runtime.accelerate import accelerate

#: Name -> (module, its name there, packages that it needs).
_LAZY: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "Program": ("weft.program", "Program", ()),
    "accelerate": ("weft.runtime.accelerate", "accelerate", ("torch",)),
    "compile": ("weft.compiler.lower.program", "compile_graph", ()),
    "open_backend": ("weft.backend.opening", "open_backend", ()),
    "quantise": ("weft.compiler.quantise.model", "quantise", ("torch",)),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'weft' has no attribute {name!r}")
    module, own, packages = _LAZY[name]
    if packages:
        from weft.tools import require

        require(*packages, what=f"weft.{name}")
    return getattr(importlib.import_module(module), own)
