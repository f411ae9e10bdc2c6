"""Overlays on this machine: found by board and configuration, staged under names of their content.

Standard library and contract only: this runs on a board.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from weft import overlays
from weft.errors import UsageError, WeftError
from weft.files.untrusted import safe_name
from weft_hw.config import AcceleratorConfig

from .manifest import Manifest, verified

__all__ = ["Found", "choose", "content_name", "find", "folders", "program_name", "stage"]

_ROOT = Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True)
class Found:
    """One overlay: its .bit, and what its manifest says."""

    bitstream: Path
    manifest: Manifest


def folders() -> list[Path]:
    """Where overlays are looked for: ``$WEFT_BITSTREAMS`` alone where it is set, otherwise
    ``bitstreams`` here and in the repository, and the user's own folder."""
    if os.environ.get("WEFT_BITSTREAMS"):
        return [overlays.folder()]
    places = [Path("bitstreams"), _ROOT / "bitstreams", overlays.folder()]
    return list({p.resolve(): p for p in places}.values())


def _all(places: Sequence[Path]) -> Iterator[Found]:
    for folder in places:
        for path in sorted(folder.glob("**/*.json")):
            if not path.with_suffix(".bit").is_file():
                continue
            try:
                manifest = Manifest.load(path)
            except WeftError:  # another project's JSON beside another .bit
                continue
            yield Found(path.with_suffix(".bit"), manifest)


def find(config: AcceleratorConfig, board: str | None = None) -> list[Found]:
    """Overlays of `config`, for `board` where it is given, real ones first.

    Raises
    ------
    UsageError
        There is none; the sentence says where it was looked for.
    """
    places = folders()
    found = [
        f
        for f in _all(places)
        if f.manifest.config.hash == config.hash and board in (None, f.manifest.board)
    ]
    if not found:
        where = f" for {board}" if board else ""
        raise UsageError(
            f"no overlay of config {config.name} ({config.hash}){where} in "
            f"{', '.join(str(p) for p in places)}",
            f"make one with weft build {config.name} --board {board or 'BOARD'}, or name a .bit "
            "with --overlay",
        )
    return sorted(found, key=lambda f: f.manifest.kind == "virtual")


def choose(config: AcceleratorConfig, board: str, virtual: bool) -> Found:
    """The one overlay of `config` for a board that is virtual, or not.

    Raises
    ------
    UsageError
        There is none, or several with other contents.
    """
    found = [f for f in find(config, board) if (f.manifest.kind == "virtual") == virtual]
    if not found:
        other = "a real board" if virtual else "virtual boards only"
        raise UsageError(
            f"the overlays of {config.name} ({config.hash}) for {board} are for {other}",
            "take the one in virtual/ of the bundle"
            if virtual
            else "build it with Vivado, then weft bitstreams add; or name a .bit with --overlay",
        )
    distinct = {content_name(f): f for f in found}
    if len(distinct) > 1:
        names = ", ".join(str(f.bitstream) for f in distinct.values())
        raise UsageError(f"several overlays fit: {names}", "name one with --overlay")
    return found[0]


def content_name(overlay: Found) -> str:
    """Stem that other bytes would not have: pynq never overwrites a file of the same name."""
    digest = hashlib.sha256()
    for suffix in (".bit", ".hwh"):
        path = overlay.bitstream.with_suffix(suffix)
        digest.update(path.read_bytes() if path.is_file() else b"")
    return f"{overlay.manifest.name}_{digest.hexdigest()[:12]}"


def program_name(stem: str, content: bytes) -> str:
    """File name that a program of other bytes would not have; `stem` may be anything."""
    return f"{safe_name(stem)}_{hashlib.sha256(content).hexdigest()[:12]}.weft"


def stage(bitstream: Path, folder: Path) -> Path:
    """Copy .bit, .hwh and manifest to `folder` under their content name; the new .bit.

    Raises
    ------
    UsageError
        A file is missing.
    Mismatch
        A file is not what the manifest says.
    """
    manifest = verified(bitstream)
    name = content_name(Found(bitstream, manifest))
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for suffix in (".bit", ".hwh"):
        shutil.copy(bitstream.with_suffix(suffix), folder / f"{name}{suffix}")
        files[f"{name}{suffix}"] = manifest.files[f"{manifest.name}{suffix}"]
    dataclasses.replace(manifest, name=name, files=files).save(folder)
    return folder / f"{name}.bit"
