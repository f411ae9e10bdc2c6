"""A compiled program, and what it looks like in the arena."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import Mismatch, UsageError
from weft.files.outputs import write_file
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import (
    INSTRUCTION_BYTES,
    ISA_VERSION,
    LAYOUTS,
    Instruction,
    Opcode,
    encode,
    encode_program,
)

from .file import pack, reading, unpack
from .patch import NodeSpan, Patch, check_nodes
from .places import check_places, first_values
from .tensor import MAX_ARENA_BYTES, TensorSpec, is_int, rules

__all__ = ["PROGRAM_ALIGN", "Program"]

#: The program_offset register holds a multiple of this.
PROGRAM_ALIGN = 256
#: The program_length register has 24 bits.
MAX_INSTRUCTIONS = (1 << 24) - 1

#: What a JSON document can hold.
Metadata = Any
_rule = rules("program")


@dataclass(frozen=True)
class Program:
    """What a backend loads: instructions, constants and tensors in one arena.

    The program itself, constants, inputs, outputs and states occupy disjoint bytes of the arena;
    but a constant may lie inside a state, as its first value. A state owns everything from its
    first byte to its end. A device keeps it from run to run; other bytes that no constant and no
    input gives are undefined when a run starts.

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
        Kept as bytes, with zeros up to whole granules of 16, sorted by offset.
    inputs, outputs, states : mapping or sequence of TensorSpec
    nodes : sequence of NodeSpan
        Which instructions belong to which node of the graph, in order; may leave some out.
    patches : mapping or sequence of Patch
        Fields that each run sets.
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
    states: Mapping[str, TensorSpec] = field(default_factory=dict)
    nodes: Sequence[NodeSpan] = ()
    patches: Mapping[str, Patch] = field(default_factory=dict)
    metadata: Mapping[str, Metadata] = field(default_factory=dict)
    isa_version: int = ISA_VERSION

    def __post_init__(self) -> None:
        def keep(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        keep("instructions", tuple(self.instructions))
        constants = [(offset, _as_bytes(value)) for offset, value in self.constants]
        keep("constants", tuple(sorted(constants, key=lambda item: item[0])))
        keep("nodes", tuple(self.nodes))
        for name in ("inputs", "outputs", "states", "patches"):
            given = getattr(self, name)
            found: dict[str, TensorSpec | Patch] = {}
            for item in given.values() if isinstance(given, Mapping) else given:
                _rule(item.name not in found, f"two {name} are named {item.name!r}")
                found[item.name] = item
            keep(name, MappingProxyType(found))
        try:
            metadata = json.loads(json.dumps(dict(self.metadata), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"metadata must be values of JSON: {error}") from None
        keep("metadata", MappingProxyType(metadata))
        self._check()

    def __hash__(self) -> int:
        return hash((self.config, self.instructions, self.program_offset, self.arena_bytes))

    def _check(self) -> None:
        cycles = self.metadata.get("predicted_cycles", 0)
        _rule(
            type(cycles) in (int, float) and 0 <= cycles < 1 << 63,
            f"metadata predicted_cycles must be a number in 0..2**63-1, not {str(cycles)[:80]}",
        )
        n = len(self.instructions)
        _rule(1 <= n <= MAX_INSTRUCTIONS, f"needs 1..{MAX_INSTRUCTIONS} instructions, not {n}")
        size = self.arena_bytes
        _rule(
            is_int(size) and 0 < size <= MAX_ARENA_BYTES and size % GRANULE_BYTES == 0,
            f"arena_bytes must be a multiple of {GRANULE_BYTES} below 2**32, not {size!r}",
        )
        at = self.program_offset
        _rule(
            is_int(at) and at >= 0 and at % PROGRAM_ALIGN == 0,
            f"program_offset must be a multiple of {PROGRAM_ALIGN}, not {at!r}",
        )
        for offset, data in self.constants:
            _rule(
                is_int(offset) and offset >= 0 and offset % GRANULE_BYTES == 0,
                f"the offset of a constant must be a multiple of {GRANULE_BYTES}, not {offset!r}",
            )
            _rule(len(data) > 0, f"the constant at {offset} is empty")
        named = {"an input": self.inputs, "an output": self.outputs, "a state": self.states}
        for name in (name for specs in named.values() for name in specs):
            found = [kind for kind, specs in named.items() if name in specs]
            _rule(len(found) == 1, f"{name!r} is both {' and '.join(found)}")
        check_nodes(self.nodes, n)
        self._check_patches()
        kinds = {"state": self.states, "input": self.inputs, "output": self.outputs}
        check_places(size, (at, n * INSTRUCTION_BYTES), self.constants, kinds)

    def _check_patches(self) -> None:
        """Every field holds whatever the patches may make of it."""
        for (index, name), steps in self._sites.items():
            is_known = index in range(len(self.instructions))
            _rule(is_known, f"patch {steps[0][0]!r} names instruction {index}")
            old = self.instructions[index]
            layout, header = LAYOUTS[old.opcode], LAYOUTS[Opcode.END]
            can_patch = name in layout and name not in header
            _rule(can_patch, f"{old.opcode.name} has no field {name!r} to patch")
            patches = [(self.patches[patch], step) for patch, step in steps]
            ends = [sorted((p.low * step, p.high * step)) for p, step in patches]
            low, high = (old[name] + sum(end[i] for end in ends) for i in (0, 1))
            f = layout[name]
            _rule(
                f.low <= low and high <= f.high,
                f"patches set {name} of instruction {index} to {low}..{high}, "
                f"it holds {f.low}..{f.high}",
            )

    @cached_property
    def _sites(self) -> dict[tuple[int, str], list[tuple[str, int]]]:
        """(instruction, field) -> the (patch, step) that set it."""
        found = defaultdict(list)
        for patch in self.patches.values():
            for index, name, step in patch.sites:
                found[index, name].append((patch.name, step))
        return dict(found)

    # -- arena ------------------------------------------------------------------------------------

    def image(self) -> NDArray[np.uint8]:
        """New uint8 [arena_bytes]: zeros, the constants and the program."""
        buffer = np.zeros(self.arena_bytes, np.uint8)
        self.write_image(buffer)
        return buffer

    def write_image(self, buffer: NDArray[np.uint8]) -> None:
        """Put constants and program into `buffer`, uint8 [>= arena_bytes]."""
        _put(buffer, (*self.constants, (self.program_offset, self.encoded)))

    @cached_property
    def first_values(self) -> tuple[tuple[int, bytes], ...]:
        """The constants that lie inside states."""
        return tuple(first_values(self.constants, self.states.values()))

    def reset_states(self, buffer: NDArray[np.uint8]) -> None:
        """Put the first values of the states into `buffer`, uint8 [>= arena_bytes]."""
        for spec in self.states.values():
            buffer[spec.offset : spec.end] = 0
        _put(buffer, self.first_values)

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of the instructions."""
        return encode_program(list(self.instructions))

    # -- patches ----------------------------------------------------------------------------------

    def patched_instructions(self, values: Mapping[str, int] | None) -> dict[int, Instruction]:
        """What a run with `values` has instead of the instructions of these indices.

        Raises
        ------
        UsageError
            A patch has no value, or one outside its range; or there is no patch of that name.
        """
        given = dict(values or {})
        for name in given:
            if name not in self.patches:
                known = f"its patch values are: {', '.join(self.patches) or 'none'}"
                raise UsageError(f"the program has no patch value {name!r}", known)
        for name, patch in self.patches.items():
            bounds, value = f"{patch.low}..{patch.high}", given.get(name)
            if value is None:
                raise UsageError(f"patch {name!r} has no value", f"give one in {bounds}")
            if not is_int(value) or not patch.low <= value <= patch.high:
                raise UsageError(f"patch {name!r} must be an int in {bounds}, not {value!r}")
        changes: dict[int, dict[str, int]] = defaultdict(dict)
        for (index, name), steps in self._sites.items():
            value = self.instructions[index][name] + sum(given[p] * step for p, step in steps)
            changes[index][name] = value
        return {
            index: dataclasses.replace(old, fields={**old.fields, **fields})
            for index, fields in sorted(changes.items())
            for old in [self.instructions[index]]
        }

    def write_patched(
        self, buffer: NDArray[np.uint8], values: Mapping[str, int] | None
    ) -> dict[int, Instruction]:
        """Put those of :meth:`patched_instructions` into `buffer`, and return them."""
        changed = self.patched_instructions(values)
        start = self.program_offset
        _put(buffer, ((start + INSTRUCTION_BYTES * i, encode(x)) for i, x in changed.items()))
        return changed

    def patched(self, values: Mapping[str, int]) -> Program:
        """The program of a run with `values`, without patches; raises as `patched_instructions`."""
        changed = self.patched_instructions(values)
        instructions = [changed.get(i, old) for i, old in enumerate(self.instructions)]
        return dataclasses.replace(self, instructions=instructions, patches={})

    def node_of(self, index: int) -> NodeSpan | None:
        """The node that the instruction belongs to; None where none is said."""
        return next((n for n in self.nodes if n.first <= index < n.end), None)

    # -- identity ---------------------------------------------------------------------------------

    def require_config(self, config: AcceleratorConfig) -> None:
        """Refuse, in a Mismatch with both hashes, an accelerator that this was not compiled for."""
        if config.hash != self.config.hash:
            raise Mismatch(
                f"the program is for config {self.config.name} ({self.config.hash}), "
                f"the accelerator is {config.name} ({config.hash})",
                "compile the program for this accelerator",
            )

    # -- files ------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The content of a program file."""
        return pack({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the program file: what a program is known by."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a program file."""
        write_file(Path(path), self.to_bytes())

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
        with reading(source):
            program = cls(**unpack(raw, source))
        if config is not None:
            program.require_config(config)
        return program


def _put(buffer: NDArray[np.uint8], parts: Iterable[tuple[int, bytes]]) -> None:
    for offset, data in parts:
        buffer[offset : offset + len(data)] = np.frombuffer(data, np.uint8)


def _as_bytes(value: Any) -> bytes:
    is_bytes = isinstance(value, (bytes, bytearray, memoryview))
    data = bytes(value) if is_bytes else np.ascontiguousarray(value).tobytes()
    return data + bytes(-len(data) % GRANULE_BYTES)
