"""``weft cache``: what Weft keeps to be faster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.results import Count

from .options import Json
from .output import print_json, print_table

if TYPE_CHECKING:
    from weft.files.cache import Kept

__all__ = ["CacheEntry", "app"]

app = typer.Typer(help="What Weft keeps to be faster: simulators, Verilog, tilings.",
                  no_args_is_help=True)  # fmt: skip


@dataclass(frozen=True)
class CacheEntry:
    """What one entry holds. kind : rtl, verilog or tilings. made : ISO 8601, UTC."""

    kind: str
    name: str
    path: Path
    bytes: Count
    made: str


def _results(found: list[Kept]) -> list[CacheEntry]:
    from weft.files.cache import cache_dir

    return [
        CacheEntry(
            one.kind,
            one.name,
            cache_dir() / one.kind / one.name,
            one.bytes,
            datetime.fromtimestamp(one.made, timezone.utc).isoformat(timespec="seconds"),
        )
        for one in found
    ]


@app.command("ls")
def show(json: Json = False) -> None:
    """List what is kept, and where."""
    from weft.files.cache import KINDS, cache_dir, kept

    found = _results(kept())
    if json:
        print_json("cache-ls", found)
        return
    if not found:
        print(f"{cache_dir()} is empty")
        return
    total = sum(one.bytes for one in found) / 1e6
    print_table(
        f"{cache_dir()}, {total:,.1f} MB",
        found,
        {
            "kind": lambda e: e.kind,
            "name": lambda e: e.name,
            "what": lambda e: KINDS[e.kind],
            "made": lambda e: e.made,
            "KB": lambda e: f"{e.bytes / 1000:,.1f}",
        },
        left=4,
    )


@app.command("clear")
def clear_command(
    kind: Annotated[
        list[str], typer.Option("--kind", help="rtl, verilog or tilings; repeatable.")
    ] = [],
    json: Json = False,
) -> None:
    """Remove what is kept; what another process is making stays."""
    from weft.files.cache import clear

    removed, busy = clear(kind or None)
    if json:
        print_json("cache-clear", _results(removed))
        return
    size = sum(one.bytes for one in removed) / 1e6
    print(f"{len(removed)} entries removed, {size:,.1f} MB")
    for one in busy:
        print(f"{one.kind}/{one.name} is in use, and stays")
