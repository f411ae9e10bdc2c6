"""Program files: a container whose payload are the instructions, then the constants, without gaps.

A file holds the fields of a :class:`weft.program.Program`, which this module does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

from weft.errors import Mismatch, ProgramFileError, UsageError
from weft.files.container import Container
from weft_hw.config import AcceleratorConfig, ConfigError
from weft_hw.isa import (
    INSTRUCTION_BYTES,
    ISA_VERSION,
    Instruction,
    InstructionError,
    decode,
    encode_program,
)

from .patch import NodeSpan, Patch
from .tensor import TensorSpec, is_int

__all__ = ["FORMAT_VERSION", "MAGIC", "pack", "reading", "unpack"]

MAGIC = b"WEFTPROG"
FORMAT_VERSION = 2
_FILE = Container(MAGIC, FORMAT_VERSION, "a Weft program")


def pack(fields: Mapping[str, Any]) -> bytes:
    """The content of the file of the program with these fields."""
    constants = fields["constants"]
    header = {
        "config": fields["config"].as_dict(),
        "config_hash": fields["config"].hash,
        "instructions": len(fields["instructions"]),
        "constants": [[offset, len(data)] for offset, data in constants],
        **{name: fields[name] for name in ("isa_version", "arena_bytes", "program_offset")},
        **{kind: [vars(s) for s in fields[kind].values()] for kind in _TENSORS},
        "nodes": [vars(node) for node in fields["nodes"]],
        "patches": [vars(patch) for patch in fields["patches"].values()],
        "metadata": dict(fields["metadata"]),
    }
    code = encode_program(list(fields["instructions"]))
    return _FILE.pack(header, b"".join([code, *(data for _, data in constants)]))


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Errors inside are those of a file; `source` is its name in messages.

    Raises
    ------
    ProgramFileError
        The file is truncated, tampered with, or its header breaks a rule.
    Mismatch
        It was compiled for another ISA, or its parameters have another hash than it says.
    """
    try:
        yield
    except Mismatch:
        raise
    except (UsageError, InstructionError, ConfigError, ValueError, TypeError) as error:
        message = error.message if isinstance(error, UsageError) else str(error)
        raise ProgramFileError(f"{source}: bad header or payload: {message}") from error


_TENSORS = ("inputs", "outputs", "states")
#: Type of every key of the header, of a tensor, of a node and of a patch in it.
_HEADER: Mapping[str, type] = {
    "config": dict,
    "config_hash": str,
    "isa_version": int,
    "arena_bytes": int,
    "program_offset": int,
    "instructions": int,
    "constants": list,
    **dict.fromkeys(_TENSORS, list),
    "nodes": list,
    "patches": list,
    "metadata": dict,
}
_TENSOR = {"name": str, "dtype": str, "shape": list, "offset": int, "pitches": list}
_NODE = {"name": str, "op": str, "first": int, "end": int}
_PATCH = {"name": str, "low": int, "high": int, "sites": list}


def unpack(raw: bytes, source: str) -> dict[str, Any]:
    """The fields of the program in `raw`, the content of a file; call it within `reading`."""
    header, payload = _FILE.unpack(raw, source)
    _check_keys("header", header, _HEADER)
    config = AcceleratorConfig(**header["config"])
    if config.hash != header["config_hash"]:
        raise Mismatch(
            f"the program carries config hash {header['config_hash']}, "
            f"its parameters have {config.hash}",
            "compile the program again with this version of Weft",
        )
    version = header["isa_version"]
    if version >> 8 != ISA_VERSION >> 8 or version > ISA_VERSION:
        raise Mismatch(
            f"the program is for ISA {version >> 8}.{version & 255}, "
            f"this Weft has {ISA_VERSION >> 8}.{ISA_VERSION & 255}",
            "compile the program again with this version of Weft",
        )
    code_bytes = header["instructions"] * INSTRUCTION_BYTES
    sizes = []
    for item in header["constants"]:
        if not (isinstance(item, list) and len(item) == 2 and all(map(is_int, item))):
            raise UsageError(f"a constant must be [offset, bytes], not {item!r}")
        if item[1] < 1:
            raise UsageError(f"the constant at {item[0]} has {item[1]} bytes")
        sizes.append(item[1])
    if code_bytes < 0 or code_bytes + sum(sizes) != len(payload):
        raise UsageError(
            f"the payload has {len(payload)} bytes, instructions and constants need "
            f"{code_bytes + sum(sizes)}"
        )
    cuts = list(accumulate([code_bytes, *sizes]))
    pieces = [payload[a:b] for a, b in zip(cuts[:-1], cuts[1:])]
    return {
        "config": config,
        "instructions": _decode_all(payload[:code_bytes]),
        "constants": [(item[0], piece) for item, piece in zip(header["constants"], pieces)],
        **{kind: [TensorSpec(**_item(s, "tensor", _TENSOR)) for s in header[kind]]
           for kind in _TENSORS},
        "nodes": [NodeSpan(**_item(n, "node", _NODE)) for n in header["nodes"]],
        "patches": [Patch(**_item(p, "patch", _PATCH)) for p in header["patches"]],
        **{name: header[name] for name in ("program_offset", "arena_bytes", "metadata")},
        "isa_version": version,
    }  # fmt: skip


def _check_keys(what: str, given: dict[str, Any], want: Mapping[str, type]) -> None:
    if set(given) != set(want):
        odd = sorted(set(given) ^ set(want))
        raise UsageError(f"the {what} must have exactly {', '.join(want)}; check {', '.join(odd)}")
    for name, kind in want.items():
        if type(given[name]) is not kind:
            shown = repr(given[name])[:80]
            raise UsageError(f"{what} {name} must be {kind.__name__}, not {shown}")


def _item(given: object, what: str, want: Mapping[str, type]) -> dict[str, Any]:
    """Arguments of one tensor, node or patch; its lists as tuples."""
    if not isinstance(given, dict):
        raise UsageError(f"a {what} must be an object, not {given!r}")
    _check_keys(what, given, want)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


def _decode_all(raw: bytes) -> list[Instruction]:
    found = []
    for index in range(len(raw) // INSTRUCTION_BYTES):
        word = raw[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES]
        try:
            found.append(decode(word))
        except InstructionError as error:
            raise UsageError(f"instruction {index}: {error}") from error
    return found
