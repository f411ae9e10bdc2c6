"""``weft bitstreams``: overlays with their manifests in one folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft import overlays
from weft.errors import UsageError

from .options import Json
from .output import print_json, print_table

if TYPE_CHECKING:
    from weft.bundle.manifest import Manifest

__all__ = ["app"]

app = typer.Typer(help="Bitstreams: list, check, add.", no_args_is_help=True)

_Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="By default where pynq finds overlays: $WEFT_BITSTREAMS, or "
        "~/.local/share/weft/overlays.",
    ),
]


def _folder(given: Path | None) -> Path:
    return given or overlays.folder()


def _load(given: Path | None) -> list[tuple[Path, Manifest]]:
    """Manifests of the folder: its JSON files that are neither schemas nor beside Verilog."""
    from weft.bundle.manifest import Manifest
    from weft.bundle.reports import SIDE_FILES

    if given is not None and not given.is_dir():
        raise UsageError(f"there is no folder {given}", "name one, or leave --folder out")
    paths = sorted(
        path
        for path in _folder(given).glob("**/*.json")
        if not path.name.endswith(".schema.json") and path.name not in SIDE_FILES
    )
    return [(path, Manifest.load(path)) for path in paths]


@app.command("list")
def list_all(folder: _Folder = None, json: Json = False) -> None:
    """List the overlays of a folder."""
    found = [manifest for _, manifest in _load(folder)]
    if json:
        print_json("bitstreams", found)
        return
    print_table(
        str(_folder(folder)),
        found,
        {
            "name": lambda m: m.name,
            "kind": lambda m: m.kind,
            "board": lambda m: m.board,
            "target": lambda m: m.target,
            "config": lambda m: m.config.hash,
            "MHz": lambda m: f"{m.clock_mhz:g}",
        },
        left=5,
    )


@app.command()
def verify(folder: _Folder = None) -> None:
    """Compare all files with the digests in their manifests."""
    found = _load(folder)
    for path, manifest in found:
        manifest.verify(path.parent)
    print(f"{len(found)} overlays in {_folder(folder)}, all files as described")


@app.command()
def add(
    bundle: Annotated[Path, typer.Argument(help="Folder of weft build that holds a bitstream.")],
    folder: _Folder = None,
) -> None:
    """Take a finished bitstream into the folder, with what the reports say.

    pynq.Overlay("NAME.bit") finds it there from any directory.
    """
    from weft.bundle.reports import finish

    if not bundle.is_dir():
        raise UsageError(f"there is no folder {bundle}", "name a folder of weft build")
    manifest = finish(bundle)
    target = _folder(folder) / manifest.name
    if target.resolve() == bundle.resolve():
        raise UsageError(f"{bundle} is where it would be added", "nothing is to be done")
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in manifest.files:
            shutil.copy(bundle / name, partial / name)
        manifest.save(partial)
        manifest.verify(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except OSError as error:
        raise UsageError(
            f"cannot write to {target}: {error.strerror}", "name another folder with --folder"
        ) from None
    print(f"{target}: {manifest.kind}, {manifest.clock_mhz:g} MHz")
