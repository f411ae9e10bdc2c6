"""A compiled program: instructions, constants and where its tensors lie in the arena.

This is the half that a board needs: standard library, numpy and the contract.
"""

from __future__ import annotations

from .file import FORMAT_VERSION, MAGIC
from .patch import NodeSpan, Patch, PatchSite
from .program import PROGRAM_ALIGN, Program
from .tensor import MAX_ARENA_BYTES, Array, TensorSpec

__all__ = [
    "FORMAT_VERSION",
    "MAGIC",
    "MAX_ARENA_BYTES",
    "PROGRAM_ALIGN",
    "Array",
    "NodeSpan",
    "Patch",
    "PatchSite",
    "Program",
    "TensorSpec",
]
