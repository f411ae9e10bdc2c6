"""An instruction as an object, and as 64 bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .layouts import LAYOUTS
from .opcodes import (
    INSTRUCTION_BYTES,
    LOOP_LEVELS,
    POSTS,
    SEMAPHORES,
    WAITS,
    ErrorCode,
    InstructionError,
    Opcode,
)
from .units import OPCODE_UNITS, Unit

__all__ = ["Instruction", "decode", "decode_program", "encode", "encode_program"]


@dataclass(frozen=True)
class Instruction:
    """One instruction. `fields` holds every field that is not zero, without the header.

    Raises
    ------
    ValueError
        An unknown field, a value that its field cannot hold, or too many semaphores.
    """

    opcode: Opcode
    waits: tuple[int, ...] = ()
    posts: tuple[int, ...] = ()
    fields: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = LAYOUTS[self.opcode]
        header = {f.name for f in LAYOUTS[Opcode.END]}
        for name, value in self.fields.items():
            if name not in layout or name in header:
                names = ", ".join(n for n in layout.fields if n not in header)
                raise ValueError(f"{self.opcode.name} has no field {name!r}; it has {names}")
            f = layout[name]
            if not f.low <= value <= f.high:
                raise ValueError(
                    f"{self.opcode.name} {name} must be in {f.low}..{f.high}, not {value}"
                )
        for what, numbers, limit in (("waits", self.waits, WAITS), ("posts", self.posts, POSTS)):
            if len(numbers) > limit:
                raise ValueError(f"an instruction has at most {limit} {what}, not {len(numbers)}")
            for number in numbers:
                if not 0 <= number < SEMAPHORES:
                    raise ValueError(f"semaphore must be in 0..{SEMAPHORES - 1}, not {number}")
        kept = {n: int(self.fields[n]) for n in layout.fields if self.fields.get(n)}
        object.__setattr__(self, "fields", MappingProxyType(kept))

    def __getitem__(self, name: str) -> int:
        """Value of a field; zero where it was not given."""
        if name not in LAYOUTS[self.opcode]:
            raise KeyError(name)
        return self.fields.get(name, 0)

    def vector(self, name: str) -> tuple[int, ...]:
        """The LOOP_LEVELS values of a field per level; zero for a level that has none."""
        return tuple(self.fields.get(f"{name}{i}", 0) for i in range(LOOP_LEVELS))

    @property
    def unit(self) -> Unit:
        """Who executes it."""
        return OPCODE_UNITS[self.opcode]

    def __hash__(self) -> int:
        return hash((self.opcode, self.waits, self.posts, tuple(self.fields.items())))


def encode(instruction: Instruction) -> bytes:
    """The 64 bytes of an instruction."""
    layout = LAYOUTS[instruction.opcode]
    values = dict(instruction.fields, opcode=int(instruction.opcode))
    for kind, numbers in (("wait", instruction.waits), ("post", instruction.posts)):
        for i, number in enumerate(numbers):
            values[f"{kind}{i}_enable"] = 1
            values[f"{kind}{i}"] = number
    word = 0
    for name, value in values.items():
        f = layout[name]
        word |= (value & ((1 << f.width) - 1)) << f.offset
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def decode(raw: bytes) -> Instruction:
    """The instruction in 64 bytes.

    Raises
    ------
    InstructionError
        Wrong length, undefined opcode, or a reserved bit that is not zero.
    """
    if len(raw) != INSTRUCTION_BYTES:
        raise InstructionError(
            ErrorCode.PROGRAM_END, f"an instruction has {INSTRUCTION_BYTES} bytes, not {len(raw)}"
        )
    word = int.from_bytes(raw, "little")
    number = word & 0xFF
    if number not in Opcode._value2member_map_:
        raise InstructionError(ErrorCode.BAD_OPCODE, f"opcode {number:#04x} is not defined")
    opcode = Opcode(number)
    layout = LAYOUTS[opcode]
    if word >> layout.used_bits:
        raise InstructionError(
            ErrorCode.BAD_FIELD, f"{opcode.name}: bits from {layout.used_bits} on must be zero"
        )
    values: dict[str, int] = {}
    for f in layout:
        value = (word >> f.offset) & ((1 << f.width) - 1)
        if f.signed and value >> (f.width - 1):
            value -= 1 << f.width
        values[f.name] = value
    if values.pop("header_reserved"):
        raise InstructionError(ErrorCode.BAD_FIELD, f"{opcode.name}: header_reserved must be zero")
    del values["opcode"]
    lists: dict[str, list[int]] = {"wait": [], "post": []}
    for kind, limit in (("wait", WAITS), ("post", POSTS)):
        for i in range(limit):
            enable, number = values.pop(f"{kind}{i}_enable"), values.pop(f"{kind}{i}")
            if enable:
                lists[kind].append(number)
    return Instruction(opcode, tuple(lists["wait"]), tuple(lists["post"]), values)


def encode_program(program: list[Instruction]) -> bytes:
    """The bytes of a list of instructions."""
    return b"".join(encode(i) for i in program)


def decode_program(raw: bytes) -> list[Instruction]:
    """The instructions in `raw`; raises :class:`InstructionError` as :func:`decode` does."""
    step = INSTRUCTION_BYTES
    return [decode(raw[i : i + step]) for i in range(0, len(raw), step)]
