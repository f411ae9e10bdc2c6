"""``weft bitstreams``: overlays with their manifests in one folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import typer

from weft.cli.output import print_json, print_table

__all__ = ["app"]

app = typer.Typer(help="Bitstreams: list, check, add.", no_args_is_help=True)

_FOLDER = typer.Option(None, "--folder", help="$WEFT_BITSTREAMS, or bitstreams/ by default.")


def _folder(given: Path | None) -> Path:
    return given or Path(os.environ.get("WEFT_BITSTREAMS", "bitstreams"))


def _manifests(folder: Path) -> list[Path]:
    """Manifests in `folder`: JSON files that are not schemas."""
    return sorted(p for p in folder.glob("**/*.json") if not p.name.endswith(".schema.json"))


@app.command("list")
def list_all(
    folder: Path = _FOLDER,
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """List the overlays of a folder."""
    from weft.bundle.manifest import Manifest

    found = [Manifest.load(p) for p in _manifests(_folder(folder))]
    if json:
        print_json("bitstreams", [m.as_dict() for m in found])
        return
    print_table(
        str(_folder(folder)),
        ("name", "kind", "board", "config", "MHz"),
        [(m.name, m.kind, m.board, m.config.hash, f"{m.clock_mhz:g}") for m in found],
        left=4,
    )


@app.command()
def verify(folder: Path = _FOLDER) -> None:
    """Compare all files with the digests in their manifests."""
    from weft.bundle.manifest import Manifest

    paths = _manifests(_folder(folder))
    for path in paths:
        Manifest.load(path).verify(path.parent)
    print(f"{len(paths)} overlays, all files as described")


@app.command()
def add(
    bundle: Path = typer.Argument(help="Folder of weft build, after Vivado ran there."),
    folder: Path = _FOLDER,
) -> None:
    """Take a finished bitstream into the folder, with what the reports say."""
    from weft.bundle.build import finish

    manifest = finish(bundle)
    target = _folder(folder) / manifest.name
    target.mkdir(parents=True, exist_ok=True)
    for name in manifest.files:
        shutil.copy(bundle / name, target / name)
    manifest.save(target)
    manifest.verify(target)
    print(f"{target}: {manifest.kind}, {manifest.clock_mhz:g} MHz")
