"""Program files: a header in JSON, the payload, a digest. Nothing is pickled.

Little endian::

    8   magic "WEFTPROG"
    4   format version
    4   bytes of the header
    8   bytes of the whole file
    .   header, JSON in UTF-8
    .   payload: the instructions, then the constants, without gaps
    32  SHA-256 of everything before
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from weft.errors import Mismatch, ProgramFileError, UsageError
from weft_hw.config import AcceleratorConfig, ConfigError
from weft_hw.isa import INSTRUCTION_BYTES, ISA_VERSION, Instruction, InstructionError, decode

from .program import Program, by_name
from .tensor import TensorSpec, is_int

__all__ = ["FORMAT_VERSION", "MAGIC", "pack", "unpack"]

MAGIC = b"WEFTPROG"
FORMAT_VERSION = 1

_PREAMBLE = struct.Struct("<8sIIQ")
_DIGEST_BYTES = 32


def pack(program: Program) -> bytes:
    """The content of the file of `program`."""
    header = {
        "config": program.config.as_dict(),
        "config_hash": program.config.hash,
        "isa_version": program.isa_version,
        "arena_bytes": program.arena_bytes,
        "program_offset": program.program_offset,
        "instructions": len(program.instructions),
        "constants": [[offset, len(data)] for offset, data in program.constants],
        "inputs": [_spec_as_dict(s) for s in program.inputs.values()],
        "outputs": [_spec_as_dict(s) for s in program.outputs.values()],
        "metadata": dict(program.metadata),
    }
    text = json.dumps(header, sort_keys=True).encode()
    payload = b"".join([program.encoded, *(data for _, data in program.constants)])
    total = _PREAMBLE.size + len(text) + len(payload) + _DIGEST_BYTES
    body = _PREAMBLE.pack(MAGIC, FORMAT_VERSION, len(text), total) + text + payload
    return body + hashlib.sha256(body).digest()


def unpack(raw: bytes, source: str) -> Program:
    """The program in `raw`, the content of a file; `source` is its name in messages.

    Raises
    ------
    ProgramFileError
        It is truncated, tampered with, or its header breaks a rule.
    Mismatch
        It was compiled for another ISA, or its parameters have another hash than it says.
    """
    header, payload = _open_file(raw, source)
    try:
        return _build(header, payload)
    except Mismatch:
        raise
    except (UsageError, InstructionError, ConfigError, ValueError, TypeError) as error:
        message = error.message if isinstance(error, UsageError) else str(error)
        raise ProgramFileError(f"{source}: bad header or payload: {message}") from error


def _spec_as_dict(spec: TensorSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "dtype": spec.dtype,
        "shape": list(spec.shape),
        "offset": spec.offset,
        "pitch": spec.pitch,
    }


def _open_file(raw: bytes, source: str) -> tuple[dict[str, Any], bytes]:
    """(header, payload) of a file whose length and digest are right."""

    def rule(ok: bool, sentence: str) -> None:
        if not ok:
            raise ProgramFileError(f"{source}: {sentence}")

    least = _PREAMBLE.size + _DIGEST_BYTES
    rule(raw[: len(MAGIC)] == MAGIC[: len(raw)] and len(raw) > 0, "is not a Weft program")
    rule(len(raw) >= least, f"is truncated: it has {len(raw)} bytes, the smallest has {least}")
    _, version, header_bytes, total = _PREAMBLE.unpack_from(raw)
    rule(
        version == FORMAT_VERSION,
        f"has format version {version}, this Weft reads version {FORMAT_VERSION}",
    )
    rule(len(raw) >= total, f"is truncated: it has {len(raw)} bytes of {total}")
    rule(len(raw) == total, f"has {len(raw)} bytes, {len(raw) - total} more than it declares")
    rule(
        hashlib.sha256(raw[:-_DIGEST_BYTES]).digest() == raw[-_DIGEST_BYTES:],
        "was changed after it was written: its SHA-256 does not match",
    )
    end = _PREAMBLE.size + header_bytes
    rule(end <= total - _DIGEST_BYTES, f"declares a header of {header_bytes} bytes, beyond its end")
    try:
        header = json.loads(raw[_PREAMBLE.size : end].decode())
    except (ValueError, RecursionError):
        header = None
    rule(isinstance(header, dict), "has a header that is not a JSON object")
    return header, raw[end:-_DIGEST_BYTES]


#: Type of every key of the header.
_HEADER: Mapping[str, type] = {
    "config": dict,
    "config_hash": str,
    "isa_version": int,
    "arena_bytes": int,
    "program_offset": int,
    "instructions": int,
    "constants": list,
    "inputs": list,
    "outputs": list,
    "metadata": dict,
}


def _build(header: dict[str, Any], payload: bytes) -> Program:
    """Program of a header and its payload; raises UsageError and what the contract raises."""
    _check_keys("header", header, _HEADER)
    config = AcceleratorConfig(**header["config"])
    if config.hash != header["config_hash"]:
        raise Mismatch(
            f"the program carries config hash {header['config_hash']}, "
            f"its parameters have {config.hash}",
            "compile the program again with this version of Weft",
        )
    version = header["isa_version"]
    if version >> 8 != ISA_VERSION >> 8:
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
    return Program(
        config=config,
        instructions=_decode_all(payload[:code_bytes]),
        program_offset=header["program_offset"],
        arena_bytes=header["arena_bytes"],
        constants=[(item[0], piece) for item, piece in zip(header["constants"], pieces)],
        inputs=by_name("inputs", [_spec(s) for s in header["inputs"]]),
        outputs=by_name("outputs", [_spec(s) for s in header["outputs"]]),
        metadata=header["metadata"],
        isa_version=version,
    )


def _check_keys(what: str, given: dict[str, Any], want: Mapping[str, type]) -> None:
    if set(given) != set(want):
        odd = sorted(set(given) ^ set(want))
        raise UsageError(f"the {what} must have exactly {', '.join(want)}; check {', '.join(odd)}")
    for name, kind in want.items():
        if type(given[name]) is not kind:
            raise UsageError(f"{what} {name} must be {kind.__name__}, not {given[name]!r}")


def _spec(given: object) -> TensorSpec:
    if not isinstance(given, dict):
        raise UsageError(f"a tensor must be an object, not {given!r}")
    want = {"name": str, "dtype": str, "shape": list, "offset": int, "pitch": int}
    _check_keys("tensor", given, want)
    return TensorSpec(**{**given, "shape": tuple(given["shape"])})


def _decode_all(raw: bytes) -> list[Instruction]:
    found = []
    for index in range(len(raw) // INSTRUCTION_BYTES):
        word = raw[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES]
        try:
            found.append(decode(word))
        except InstructionError as error:
            raise UsageError(f"instruction {index}: {error}") from error
    return found
