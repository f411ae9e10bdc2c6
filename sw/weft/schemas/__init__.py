"""JSON Schemas of everything that ``--json`` prints; they only grow within a major version."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["load", "names"]


def names() -> list[str]:
    """Names of all schemas, for example ``weft.presets/1``."""
    stems = (p.name.removesuffix(".json") for p in files(__name__).iterdir())
    return sorted("/".join(s.rsplit(".", 1)) for s in stems if s.startswith("weft."))


def load(name: str) -> dict[str, Any]:
    """The schema `name`, as ``names`` lists it.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    path = files(__name__) / f"{name.replace('/', '.')}.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema
