"""``weft doctor``: what is installed, what is missing, and the remedy."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import typer

from .options import Json
from .output import print_json, print_table

__all__ = ["Tool", "command"]


@dataclass(frozen=True)
class Tool:
    """A tool or package. found : version or path; null where absent."""

    name: str
    purpose: str
    found: str | None
    remedy: str


def command(json: Json = False) -> None:
    """Say what is installed, what is missing, and the remedy; exit code 3 if something is."""
    from weft.tools import PACKAGES, PROGRAMS

    version = ".".join(map(str, sys.version_info[:3]))
    python = version if (3, 10) <= sys.version_info[:2] <= (3, 12) else None
    rows = [("python", "everything", python, f"use Python 3.10 to 3.12, not {version}")]
    rows += [(p.name, p.purpose, p.path(), p.remedy) for p in PROGRAMS]
    rows += [(p.distribution, p.purpose, p.version(), p.remedy) for p in PACKAGES]
    tools = [Tool(name, use, found, "" if found else remedy) for name, use, found, remedy in rows]
    if json:
        print_json("doctor", tools)
    else:
        print_table(
            "",
            tools,
            {
                "tool": lambda t: t.name,
                "needed to": lambda t: t.purpose,
                "found": lambda t: t.found or "missing",
                "remedy": lambda t: t.remedy,
            },
            left=4,
        )
    if any(t.found is None for t in tools):
        raise typer.Exit(3)
