"""A compiled program: instructions, constants and where its tensors lie in the arena.

This is the half that a board needs: standard library, numpy and the contract. Nothing is pickled.

File format, little endian::

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
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft_hw.config import GRANULE_BYTES, AcceleratorConfig, ConfigError
from weft_hw.isa import (
    INSTRUCTION_BYTES,
    ISA_VERSION,
    Instruction,
    InstructionError,
    decode,
    encode_program,
)

from .errors import Mismatch, ProgramFileError, UsageError

__all__ = ["FORMAT_VERSION", "MAGIC", "MAX_ARENA_BYTES", "PROGRAM_ALIGN", "Program", "TensorSpec"]

MAGIC = b"WEFTPROG"
FORMAT_VERSION = 1
#: The program_offset register holds a multiple of this.
PROGRAM_ALIGN = 256
#: The program_length register has 24 bits.
MAX_INSTRUCTIONS = (1 << 24) - 1
#: The arena_bytes register has 32 bits.
MAX_ARENA_BYTES = (1 << 32) - 1

_PREAMBLE = struct.Struct("<8sIIQ")
_DIGEST_BYTES = 32
_DTYPES: dict[str, np.dtype[Any]] = {
    "int8": np.dtype("<i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
}

#: What a JSON document can hold.
Metadata = Any


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _is_int(value: object) -> bool:
    return type(value) is int


@dataclass(frozen=True)
class TensorSpec:
    """A matrix in the arena: row r starts at byte ``offset + r * pitch``.

    Parameters
    ----------
    name : str
    dtype : "int8", "int16" or "int32"; little endian.
    shape : (rows, cols), each >= 1
    offset, pitch : int, bytes; multiples of 16.

    Raises
    ------
    UsageError
        A value breaks a rule.
    """

    name: str
    dtype: str
    shape: tuple[int, int]
    offset: int
    pitch: int

    def __post_init__(self) -> None:
        def rule(ok: bool, sentence: str) -> None:
            if not ok:
                raise UsageError(f"tensor {self.name!r}: {sentence}")

        rule(isinstance(self.name, str) and self.name != "", "name must be a string, not empty")
        rule(
            self.dtype in _DTYPES, f"dtype must be one of {', '.join(_DTYPES)}, not {self.dtype!r}"
        )
        shape = self.shape
        rule(
            isinstance(shape, tuple)
            and len(shape) == 2
            and all(_is_int(n) and 1 <= n < 1 << 32 for n in shape),
            f"shape must be two positive ints (rows, cols), not {shape!r}",
        )
        for name in ("offset", "pitch"):
            value = getattr(self, name)
            rule(
                _is_int(value) and value >= 0 and value % GRANULE_BYTES == 0,
                f"{name} must be a multiple of {GRANULE_BYTES}, not {value!r}",
            )
        rule(self.pitch <= MAX_ARENA_BYTES, f"pitch must be below 2**32, not {self.pitch}")
        rule(
            self.pitch >= self.row_bytes,
            f"pitch must be at least the {self.row_bytes} bytes of a row, not {self.pitch}",
        )

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Little-endian numpy type of an element."""
        return _DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Bytes of the elements of one row."""
        return self.shape[1] * self.numpy_dtype.itemsize

    @property
    def stride(self) -> int:
        """Bytes from one row to the next, in a view: a single row's pitch may be any number."""
        return self.pitch if self.shape[0] > 1 else self.row_bytes

    @property
    def padded_row_bytes(self) -> int:
        """Bytes of a row that a DMA may touch: up to the next multiple of 16."""
        return _round_up(self.row_bytes, GRANULE_BYTES)

    @property
    def end(self) -> int:
        """First byte behind the last row, padding included."""
        return self.offset + (self.shape[0] - 1) * self.pitch + self.padded_row_bytes

    @property
    def bytes(self) -> int:
        """Bytes of the elements, without padding."""
        return self.shape[0] * self.row_bytes


@dataclass(frozen=True)
class Program:
    """What a backend loads: instructions, constants and tensors in one arena.

    The program itself, the constants, inputs and outputs occupy disjoint bytes of the arena.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator that it was compiled for.
    instructions : sequence of Instruction
    program_offset : int, bytes
        Where the instructions lie; a multiple of 256.
    arena_bytes : int
        Bytes of DRAM that the program may touch; a multiple of 16.
    constants : sequence of (offset, bytes or array)
        Kept as bytes, sorted by offset.
    inputs, outputs : mapping or sequence of TensorSpec
    metadata : mapping of JSON values
        What the compiler predicts, for example ``macs`` and ``predicted_cycles``.

    Raises
    ------
    UsageError
        A size, range or overlap that cannot be; the sentence names it.
    """

    config: AcceleratorConfig
    instructions: Sequence[Instruction]
    program_offset: int
    arena_bytes: int
    constants: Sequence[tuple[int, Any]] = ()
    inputs: Mapping[str, TensorSpec] = field(default_factory=dict)
    outputs: Mapping[str, TensorSpec] = field(default_factory=dict)
    metadata: Mapping[str, Metadata] = field(default_factory=dict)
    isa_version: int = ISA_VERSION

    def __post_init__(self) -> None:
        def keep(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        keep("instructions", tuple(self.instructions))
        constants = [(offset, _as_bytes(value)) for offset, value in self.constants]
        keep("constants", tuple(sorted(constants, key=lambda item: item[0])))
        for name in ("inputs", "outputs"):
            given = getattr(self, name)
            specs = list(given.values()) if isinstance(given, Mapping) else list(given)
            keep(name, MappingProxyType(_by_name(name, specs)))
        keep("metadata", MappingProxyType(json.loads(json.dumps(dict(self.metadata)))))
        self._check()

    def __hash__(self) -> int:
        return hash((self.config, self.instructions, self.program_offset, self.arena_bytes))

    def _check(self) -> None:
        def rule(ok: bool, sentence: str) -> None:
            if not ok:
                raise UsageError(f"program: {sentence}")

        n = len(self.instructions)
        rule(1 <= n <= MAX_INSTRUCTIONS, f"needs 1..{MAX_INSTRUCTIONS} instructions, not {n}")
        size = self.arena_bytes
        rule(
            _is_int(size) and 0 < size <= MAX_ARENA_BYTES and size % GRANULE_BYTES == 0,
            f"arena_bytes must be a multiple of {GRANULE_BYTES} below 2**32, not {size!r}",
        )
        at = self.program_offset
        rule(
            _is_int(at) and at >= 0 and at % PROGRAM_ALIGN == 0,
            f"program_offset must be a multiple of {PROGRAM_ALIGN}, not {at!r}",
        )
        for offset, data in self.constants:
            rule(
                _is_int(offset) and offset >= 0 and offset % GRANULE_BYTES == 0,
                f"the offset of a constant must be a multiple of {GRANULE_BYTES}, not {offset!r}",
            )
            rule(len(data) > 0, f"the constant at {offset} is empty")
        for name in self.inputs:
            rule(name not in self.outputs, f"{name!r} is both an input and an output")
        for what, _, end in self._extents():
            rule(end <= size, f"{what} ends at byte {end}, beyond the arena of {size} bytes")
        self._check_overlaps()

    def _extents(self) -> list[tuple[str, int, int]]:
        """(what, first byte, end) of everything that has a place in the arena."""
        code = len(self.instructions) * INSTRUCTION_BYTES
        found = [("the program", self.program_offset, self.program_offset + code)]
        found += [(f"the constant at {o}", o, o + len(d)) for o, d in self.constants]
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            found += [(f"{kind} {s.name!r}", s.offset, s.end) for s in specs.values()]
        return found

    def _check_overlaps(self) -> None:
        """Refuse two owners of a byte; tensors may interleave row by row."""
        extents = self._extents()
        specs = [*self.inputs.values(), *self.outputs.values()]
        starts, ends, owners = [], [], []
        for owner, (_, start, end) in enumerate(extents):
            spec_index = owner - (len(extents) - len(specs))
            if spec_index < 0:
                first, length = np.array([start], np.int64), end - start
            else:
                spec = specs[spec_index]
                first = spec.offset + spec.pitch * np.arange(spec.shape[0], dtype=np.int64)
                length = spec.padded_row_bytes
            starts.append(first)
            ends.append(first + length)
            owners.append(np.full(len(first), owner))
        start_all, end_all, owner_all = map(np.concatenate, (starts, ends, owners))
        order = np.argsort(start_all, kind="stable")
        clash = np.flatnonzero(end_all[order][:-1] > start_all[order][1:])
        if len(clash):
            a, b = (extents[owner_all[order[clash[0] + i]]][0] for i in (0, 1))
            raise UsageError(f"program: {a} and {b} overlap in the arena")

    # -- arena ------------------------------------------------------------------------------------

    def image(self) -> NDArray[np.uint8]:
        """New uint8 [arena_bytes]: zeros, the constants and the program."""
        buffer = np.zeros(self.arena_bytes, np.uint8)
        self.write_image(buffer)
        return buffer

    def write_image(self, buffer: NDArray[np.uint8]) -> None:
        """Put constants and program into `buffer`, uint8 [>= arena_bytes]."""
        for offset, data in (*self.constants, (self.program_offset, self.encoded)):
            buffer[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    @property
    def encoded(self) -> bytes:
        """The bytes of the instructions."""
        return encode_program(list(self.instructions))

    def write_input(
        self, buffer: NDArray[np.uint8], name: str, array: NDArray[np.signedinteger[Any]]
    ) -> None:
        """Put `array` where the program expects input `name`; padding is left as it is.

        Parameters
        ----------
        buffer : uint8 [>= arena_bytes]
        array : the input's dtype and shape exactly.

        Raises
        ------
        UsageError
            An unknown name, another shape or another dtype.
        """
        spec = _lookup("input", self.inputs, name)
        given = np.asarray(array)
        if given.shape != spec.shape or given.dtype.newbyteorder("<") != spec.numpy_dtype:
            raise UsageError(
                f"input {name!r} must be {spec.dtype} {list(spec.shape)}, "
                f"not {given.dtype} {list(given.shape)}"
            )
        rows = np.ascontiguousarray(given, spec.numpy_dtype).view(np.uint8)
        _rows(buffer, spec)[...] = rows.reshape(spec.shape[0], spec.row_bytes)

    def read_output(self, buffer: NDArray[np.uint8], name: str) -> NDArray[np.signedinteger[Any]]:
        """Copy of output `name` from `buffer`, uint8 [>= arena_bytes]; raises as `write_input`."""
        spec = _lookup("output", self.outputs, name)
        rows = _rows(buffer, spec)
        found = np.frombuffer(rows.tobytes(), spec.numpy_dtype).reshape(spec.shape)
        return np.array(found, spec.numpy_dtype)

    # -- identity ---------------------------------------------------------------------------------

    def require_config(self, config: AcceleratorConfig) -> None:
        """Refuse an accelerator that the program was not compiled for.

        Raises
        ------
        Mismatch
            The config hashes differ; the message holds both.
        """
        if config.hash != self.config.hash:
            raise Mismatch(
                f"the program is for config {self.config.name} ({self.config.hash}), "
                f"the accelerator is {config.name} ({config.hash})",
                "compile the program for this accelerator",
            )

    # -- files ------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The content of a program file."""
        header = {
            "config": self.config.as_dict(),
            "config_hash": self.config.hash,
            "isa_version": self.isa_version,
            "arena_bytes": self.arena_bytes,
            "program_offset": self.program_offset,
            "instructions": len(self.instructions),
            "constants": [[offset, len(data)] for offset, data in self.constants],
            "inputs": [_spec_as_dict(s) for s in self.inputs.values()],
            "outputs": [_spec_as_dict(s) for s in self.outputs.values()],
            "metadata": dict(self.metadata),
        }
        text = json.dumps(header, sort_keys=True).encode()
        payload = b"".join([self.encoded, *(data for _, data in self.constants)])
        total = _PREAMBLE.size + len(text) + len(payload) + _DIGEST_BYTES
        body = _PREAMBLE.pack(MAGIC, FORMAT_VERSION, len(text), total) + text + payload
        return body + hashlib.sha256(body).digest()

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the program file."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a program file."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str], config: AcceleratorConfig | None = None) -> Program:
        """Read a program file; `config`, where given, is the accelerator that must match.

        Raises
        ------
        UsageError
            The file cannot be read.
        ProgramFileError
            It is truncated, tampered with, or its header breaks a rule.
        Mismatch
            It was compiled for another accelerator or another ISA.
        """
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        return cls.from_bytes(raw, config, source=str(path))

    @classmethod
    def from_bytes(
        cls, raw: bytes, config: AcceleratorConfig | None = None, source: str = "program file"
    ) -> Program:
        """The program in `raw`, the content of a program file; raises as :meth:`load`."""
        header, payload = _open_file(raw, source)
        try:
            program = _build(header, payload)
        except Mismatch:
            raise
        except (UsageError, InstructionError, ConfigError, ValueError, TypeError) as error:
            message = error.message if isinstance(error, UsageError) else str(error)
            raise ProgramFileError(f"{source}: bad header or payload: {message}") from error
        if config is not None:
            program.require_config(config)
        return program


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return np.ascontiguousarray(value).tobytes()


def _by_name(kind: str, specs: Iterable[TensorSpec]) -> dict[str, TensorSpec]:
    found: dict[str, TensorSpec] = {}
    for spec in specs:
        if spec.name in found:
            raise UsageError(f"program: two {kind} are named {spec.name!r}")
        found[spec.name] = spec
    return found


def _lookup(kind: str, specs: Mapping[str, TensorSpec], name: str) -> TensorSpec:
    if name not in specs:
        known = ", ".join(specs) or "none"
        raise UsageError(f"the program has no {kind} {name!r}", f"its {kind}s are: {known}")
    return specs[name]


def _rows(buffer: NDArray[np.uint8], spec: TensorSpec) -> NDArray[np.uint8]:
    """View uint8 [rows, row_bytes] of a tensor in the arena."""
    if buffer.dtype != np.uint8 or buffer.ndim != 1 or len(buffer) < spec.end:
        raise UsageError(
            f"the arena must be uint8 [>= {spec.end}], not {buffer.dtype} {list(buffer.shape)}"
        )
    shape, step = (spec.shape[0], spec.row_bytes), buffer.strides[0]
    strides = (spec.stride * step, step)
    return np.lib.stride_tricks.as_strided(buffer[spec.offset :], shape, strides)


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
    except ValueError:
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
        if not (isinstance(item, list) and len(item) == 2 and all(map(_is_int, item))):
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
        inputs=_by_name("inputs", [_spec(s) for s in header["inputs"]]),
        outputs=_by_name("outputs", [_spec(s) for s in header["outputs"]]),
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
