"""Weft's toolchain: compiler, programs, backends, command line.

Importing this package imports neither torch nor Amaranth; its names are imported when first used:
``weft.compile`` a torch model into one that runs on an accelerator, and is called as it was;
``weft.accelerate`` the linear layers of a model that stays in torch; or ``weft.quantise`` a model,
``weft.compile_graph``, ``weft.open_backend``, and run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "CompiledModel",
    "Program",
    "__version__",
    "accelerate",
    "compile",
    "compile_graph",
    "load",
    "open_backend",
    "quantise",
]

if TYPE_CHECKING:
    from weft.backend.opening import open_backend
    from weft.compiler.lower.program import compile_graph
    from weft.compiler.quantise.model import quantise
    from weft.program import Program
    from weft.runtime.accelerate import accelerate
    from weft.runtime.compile import compile_model as compile
    from weft.runtime.compiled import CompiledModel
    from weft.runtime.compiled import load_model as load

#: Name -> (module, its name there, packages that it needs).
_LAZY: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "Program": ("weft.program", "Program", ()),
    "accelerate": ("weft.runtime.accelerate", "accelerate", ("torch",)),
    "CompiledModel": ("weft.runtime.compiled", "CompiledModel", ()),
    "compile": ("weft.runtime.compile", "compile_model", ("torch", "torchao")),
    "compile_graph": ("weft.compiler.lower.program", "compile_graph", ()),
    "load": ("weft.runtime.compiled", "load_model", ()),
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
