"""Tilings that were chosen before, kept on disk: a search takes a second, reading its result none.

A tiling is taken only where it is one of the candidates, so that a file can make a schedule slower
and never wrong. What cannot be kept, or read, is searched for again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from functools import lru_cache
from pathlib import Path

import weft.compiler
from weft.compiler.graph.fused import Fused
from weft.dram import MemoryModel
from weft.errors import UsageError
from weft.files.cache import cache_dir
from weft.files.outputs import write_file
from weft.files.private import own_folder
from weft_hw.config import AcceleratorConfig

from .plan import Problem
from .tiling import AnyTiling

__all__ = ["find", "keep"]


@lru_cache(maxsize=1)
def _sources() -> str:
    """Hash of everything that a choice follows from, beside problem and platform."""
    digest = hashlib.sha256()
    root = Path(weft.compiler.__file__).parent
    for folder in ("cost", "graph", "schedule"):
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _path(config: AcceleratorConfig, problem: Problem | Fused, memory: MemoryModel) -> Path:
    key = f"{config.hash} {memory.hash} {problem!r}"
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return cache_dir() / "tilings" / _sources() / f"{name}.json"


def find(
    config: AcceleratorConfig, problem: Problem | Fused, memory: MemoryModel
) -> dict[str, int | bool] | None:
    """The fields of the tiling that was chosen for `problem`; None where none is known."""
    try:
        found = json.loads(_path(config, problem, memory).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def keep(
    config: AcceleratorConfig,
    problem: Problem | Fused,
    memory: MemoryModel,
    tiling: AnyTiling,
) -> None:
    """Keep the tiling that was chosen for `problem`."""
    path = _path(config, problem, memory)
    with contextlib.suppress(OSError, UsageError):  # a disk that is full, a folder of others
        own_folder(path.parent)
        write_file(path, json.dumps(dataclasses.asdict(tiling)).encode())
