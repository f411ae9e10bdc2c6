"""A compiled program, and what it looks like in the arena."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import Mismatch, UsageError
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES, ISA_VERSION, Instruction, encode_program

from .tensor import MAX_ARENA_BYTES, TensorSpec, is_int, row_bytes_of

__all__ = ["PROGRAM_ALIGN", "Program", "by_name"]

#: The program_offset register holds a multiple of this.
PROGRAM_ALIGN = 256
#: The program_length register has 24 bits.
MAX_INSTRUCTIONS = (1 << 24) - 1

#: What a JSON document can hold.
Metadata = Any


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
            keep(name, MappingProxyType(by_name(name, specs)))
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
            is_int(size) and 0 < size <= MAX_ARENA_BYTES and size % GRANULE_BYTES == 0,
            f"arena_bytes must be a multiple of {GRANULE_BYTES} below 2**32, not {size!r}",
        )
        at = self.program_offset
        rule(
            is_int(at) and at >= 0 and at % PROGRAM_ALIGN == 0,
            f"program_offset must be a multiple of {PROGRAM_ALIGN}, not {at!r}",
        )
        for offset, data in self.constants:
            rule(
                is_int(offset) and offset >= 0 and offset % GRANULE_BYTES == 0,
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
        row_bytes_of(buffer, spec)[...] = rows.reshape(spec.shape[0], spec.row_bytes)

    def read_output(self, buffer: NDArray[np.uint8], name: str) -> NDArray[np.signedinteger[Any]]:
        """Copy of output `name` from `buffer`, uint8 [>= arena_bytes]; raises as `write_input`."""
        spec = _lookup("output", self.outputs, name)
        rows = row_bytes_of(buffer, spec)
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
        from .file import pack

        return pack(self)

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
        from .file import unpack

        program = unpack(raw, source)
        if config is not None:
            program.require_config(config)
        return program


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return np.ascontiguousarray(value).tobytes()


def by_name(kind: str, specs: Iterable[TensorSpec]) -> dict[str, TensorSpec]:
    """`specs` by their names; two of one name raise UsageError."""
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
