"""What stands beside a bitstream: where it came from, what it needs, and SHA-256 of its files.

Standard library and contract only: this runs on a board.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from weft.errors import Mismatch, UsageError
from weft.files.outputs import write_file
from weft.files.untrusted import check_name, conform, inside, parse_json
from weft.results import OMITTED, Count, Digest, Hash, NonNegative, PositiveFloat, Rule, plain
from weft_hw.boards import PYNQ_BOARDS, BoardError, pynq_board
from weft_hw.config import AcceleratorConfig, ConfigError
from weft_hw.isa import ISA_VERSION
from weft_hw.target import TARGETS, check_target

from .content import check_content

__all__ = ["KINDS", "RESOURCES", "SCHEMA", "Manifest", "sha256", "verified"]

SCHEMA = "weft.manifest/1"
#: "vivado" and "open": a bitstream for the device. "virtual": one that only a virtual board takes.
#: "sources": no bitstream yet.
KINDS = ("sources", "vivado", "open", "virtual")

#: Resources of a chip that a manifest counts.
RESOURCES = ("lut", "flip_flops", "bram36", "uram", "dsp")

Resource = Annotated[str, Rule(enum=list(RESOURCES))]
Timing = Annotated[str, Rule(enum=["wns_ns", "whs_ns", "fmax_mhz"])]


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Description of one overlay.

    name : stem of the files. kind : whether there is a bitstream, and who takes it.
    target : form of the cells, which changes no result. files : name -> SHA-256.
    clock_mhz : what the board is to be set to, and what timing was checked at.
    tools : tool -> version; empty where it was not used. resources : used, as a build reports.
    timing : slack for setup and hold; of the open tools fmax_mhz, without hold.
    untimed : kinds of cells whose delays the tool did not know, so that timing leaves them out.
    """

    schema: Annotated[str, Rule(const=SCHEMA)] = SCHEMA
    name: Annotated[str, Rule(pattern="^weft_[a-z0-9_]{1,100}$")]
    kind: Annotated[str, Rule(enum=list(KINDS))]
    board: Annotated[str, Rule(enum=list(PYNQ_BOARDS))]
    part: str
    target: Annotated[str, Rule(enum=list(TARGETS))]
    config: AcceleratorConfig
    config_hash: Hash
    clock_mhz: PositiveFloat
    files: Mapping[str, Digest]
    tools: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[Resource, NonNegative] = field(default_factory=dict)
    timing: Mapping[Timing, float] = field(default_factory=dict)
    isa_version: Count = ISA_VERSION
    untimed: list[str] = field(default_factory=list, metadata=OMITTED)

    def save(self, folder: Path) -> Path:
        """Write ``<name>.json`` in `folder`; its path."""
        path = folder / f"{self.name}.json"
        write_file(path, json.dumps(plain(self), indent=1) + "\n")
        return path

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read and check a manifest; its files are checked by :meth:`verify`.

        Raises
        ------
        UsageError
            The file cannot be read.
        Mismatch
            It is no manifest, or contradicts itself.
        """
        try:
            given = parse_json(path.read_bytes())
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}", "name a manifest") from None
        except ValueError as error:
            raise Mismatch(f"{path} is not JSON: {error}", "build the overlay again") from None
        try:
            return cls._from_dict(given)
        except (ConfigError, BoardError, TypeError, ValueError) as error:
            raise Mismatch(f"{path}: {error}", "build the overlay again") from None

    @classmethod
    def _from_dict(cls, given: Any) -> Manifest:
        if not isinstance(given, dict):
            raise ValueError("a manifest must be an object")
        fields = dataclasses.fields(cls)
        unknown = set(given) - {f.name for f in fields}
        lacking = {f.name for f in fields if "omitted" not in f.metadata} - set(given)
        if unknown or lacking:
            raise ValueError(f"check the keys {', '.join(sorted(unknown | lacking))}")
        if given["schema"] != SCHEMA:
            raise ValueError(f"the schema must be {SCHEMA}, not {given['schema']!r}")
        if given["kind"] not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {given['kind']!r}")
        for name, kind in get_type_hints(cls, include_extras=True).items():
            if name in given:
                conform(given[name], kind, name)
        config = AcceleratorConfig(**given["config"])
        if config.hash != given["config_hash"]:
            raise ValueError(
                f"config_hash is {given['config_hash']}, that of the config is {config.hash}"
            )
        check_target(given["target"])
        if pynq_board(given["board"]).chip.part != given["part"]:
            raise ValueError(f"{given['board']} has not the part {given['part']}")
        for name in given["files"]:
            check_name("a file", name)
        return cls(**given | {"config": config})

    def verify(self, folder: Path) -> None:
        """Compare the files in `folder` with their digests, and read those that pynq will read.

        Raises
        ------
        Mismatch
            One is missing, changed, or cannot be read; the message names it.
        """
        for name, digest in self.files.items():
            try:
                path = inside(folder, name)
            except ValueError as error:
                raise Mismatch(str(error), "build or download the overlay again") from None
            if not path.is_file():
                raise Mismatch(f"{path} is missing", "build or download the overlay again")
            if sha256(path) != digest:
                raise Mismatch(
                    f"{path} is not the file that its manifest describes: SHA-256 "
                    f"{sha256(path)[:16]}..., not {digest[:16]}...",
                    "build or download the overlay again",
                )
            check_content(path)

    def bitstream(self, folder: Path) -> Path:
        """Path of the .bit.

        Raises
        ------
        UsageError
            The overlay has none yet.
        """
        if f"{self.name}.bit" not in self.files:
            raise UsageError(
                f"{self.name} has no bitstream yet",
                f"run vivado -mode batch -source build.tcl in {folder}, then weft bitstreams add",
            )
        return folder / f"{self.name}.bit"


def verified(bitstream: Path) -> Manifest:
    """The manifest beside a .bit, whose files are all there and as it says.

    Raises
    ------
    UsageError
        A file is missing.
    Mismatch
        A file is not what the manifest says, or cannot be read.
    """
    for suffix in (".bit", ".hwh", ".json"):
        path = bitstream.with_suffix(suffix)
        if not path.is_file():
            raise UsageError(
                f"{path} is missing", "keep .bit, .hwh and .json of an overlay in one folder"
            )
    manifest = Manifest.load(bitstream.with_suffix(".json"))
    for path in (bitstream, bitstream.with_suffix(".hwh")):
        if path.name not in manifest.files:
            raise Mismatch(
                f"{manifest.name}.json says nothing of {path.name}",
                "build or download the overlay again",
            )
    manifest.verify(bitstream.parent)
    return manifest
