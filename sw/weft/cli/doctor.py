"""``weft doctor``: what is installed, what is missing, and the remedy."""

from __future__ import annotations

import sys
from typing import Any

import typer

from .output import print_json, print_table

__all__ = ["command"]


def command(
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Say what is installed, what is missing, and the remedy; exit code 3 if something is."""
    from weft.tools import PACKAGES, PROGRAMS

    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 10) <= sys.version_info[:2] <= (3, 12)
    results: list[dict[str, Any]] = [
        {
            "name": "python",
            "purpose": "everything",
            "found": version if supported else None,
            "remedy": "" if supported else f"use Python 3.10 to 3.12, not {version}",
        }
    ]
    for program in PROGRAMS:
        found = program.path()
        results.append(_result(program.name, program.purpose, found, program.remedy))
    for package in PACKAGES:
        found = package.version()
        results.append(_result(package.distribution, package.purpose, found, package.remedy))
    if json:
        print_json("doctor", results)
    else:
        print_table(
            "",
            ("tool", "needed to", "found", "remedy"),
            [(r["name"], r["purpose"], r["found"] or "missing", r["remedy"]) for r in results],
            left=4,
        )
    if any(r["found"] is None for r in results):
        raise typer.Exit(3)


def _result(name: str, purpose: str, found: str | None, remedy: str) -> dict[str, Any]:
    return {
        "name": name,
        "purpose": purpose,
        "found": found,
        "remedy": "" if found else remedy,
    }
