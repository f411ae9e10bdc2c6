"""Assembler and disassembler: one instruction a line, every field by its name.

::

    # a comment
    load wait=3 post=0,1 space=weights dram_offset=0x1000 rows=1 bytes=256
    matmul wait=0 count=16,4,3,1,1,1 tile_levels=1 first=1 last=1 act_jump=4,0,0,0,0,0

Fields that are not named are zero. A field with one value per loop level takes a list from its
innermost level on (from level 0; ``weight_jump`` and ``parameter_jump`` from
level 1); levels that a list does not reach are zero, or one in ``count``. ``count2=7`` names one
level. Numbers are decimal, or hexadecimal with 0x.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from weft.errors import UsageError
from weft_hw.isa import LAYOUTS, LOOP_LEVELS, Instruction, Opcode, ResultType, Space

__all__ = ["assemble", "disassemble", "format_instruction", "parse_instruction"]

_HEADER = frozenset(f.name for f in LAYOUTS[Opcode.END])
#: Fields whose values have names.
_NAMES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "space": {s.name.lower(): int(s) for s in Space},
        "result_type": {t.name.lower(): int(t) for t in ResultType},
    }
)


def _groups(opcode: Opcode) -> dict[str, list[str]]:
    """Name in text -> fields: a vector's levels in order, or the one field of that name."""
    found: dict[str, list[str]] = {}
    for f in LAYOUTS[opcode]:
        if f.name in _HEADER:
            continue
        stem = f.name[:-1]
        is_level = f.name[-1].isdigit() and f"{stem}{LOOP_LEVELS - 1}" in LAYOUTS[opcode]
        found.setdefault(stem if is_level else f.name, []).append(f.name)
    return found


_GROUPS = {opcode: _groups(opcode) for opcode in Opcode}


def assemble(text: str) -> list[Instruction]:
    """Instructions of a text.

    Raises
    ------
    UsageError
        With the line number, what is wrong there, and what would be right.
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        code = line.partition("#")[0].strip()
        if code:
            try:
                found.append(parse_instruction(code))
            except UsageError as error:
                raise UsageError(f"line {number}: {error.message}", error.remedy) from error
    return found


def disassemble(instructions: Iterable[Instruction]) -> str:
    """Text that :func:`assemble` turns into the same instructions; one line each."""
    return "".join(format_instruction(i) + "\n" for i in instructions)


def format_instruction(instruction: Instruction) -> str:
    """One line of text, without its end."""
    words = [instruction.opcode.name.lower()]
    for name, numbers in (("wait", instruction.waits), ("post", instruction.posts)):
        if numbers:
            words.append(f"{name}={','.join(map(str, numbers))}")
    for name, fields in _GROUPS[instruction.opcode].items():
        values = [instruction[f] for f in fields]
        if any(values):
            names = {v: n for n, v in _NAMES.get(name, {}).items()}
            words.append(f"{name}={','.join(names.get(v, str(v)) for v in values)}")
    return " ".join(words)


def parse_instruction(code: str) -> Instruction:
    """Instruction of one line without comment; raises :class:`UsageError`."""
    mnemonic, *words = code.split()
    try:
        opcode = Opcode[mnemonic.upper()]
    except KeyError:
        known = ", ".join(o.name.lower() for o in Opcode)
        raise UsageError(f"unknown instruction {mnemonic!r}", f"there are {known}") from None
    values: dict[str, int] = {}
    lists: dict[str, tuple[int, ...]] = {"wait": (), "post": ()}
    seen = set()
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not text:
            raise UsageError(f"{word!r} is not name=value", "write it without spaces round '='")
        if name in seen:
            raise UsageError(f"{name} is given twice", "name each field once")
        seen.add(name)
        if name in lists:
            lists[name] = tuple(_number(name, t) for t in text.split(","))
        else:
            _assign(values, opcode, name, text.split(","))
    try:
        return Instruction(opcode, lists["wait"], lists["post"], values)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _assign(values: dict[str, int], opcode: Opcode, name: str, texts: list[str]) -> None:
    """Put the values of one ``name=...`` into `values`, field by field."""
    groups = _GROUPS[opcode]
    fields = groups.get(name) or ([name] if any(name in g for g in groups.values()) else None)
    if fields is None:
        known = ", ".join(["wait", "post", *groups])
        raise UsageError(f"{opcode.name.lower()} has no field {name!r}", f"it has {known}")
    if len(texts) > len(fields):
        raise UsageError(
            f"{name} has {len(texts)} values", f"it takes {len(fields)}, one per loop level"
            if len(fields) > 1 else "it takes one",
        )  # fmt: skip
    numbers = [_number(name, t) for t in texts]
    rest = 1 if name == "count" else 0
    numbers += [rest] * (len(fields) - len(numbers))
    for one in fields:
        if one in values:
            raise UsageError(f"{one} is given twice", "name each field once")
    values.update(zip(fields, numbers))


def _number(name: str, text: str) -> int:
    names = _NAMES.get(name, {})
    if text.lower() in names:
        return names[text.lower()]
    try:
        return int(text, 0)
    except ValueError:
        remedy = "write a decimal or 0x number"
        if names:
            remedy += f", or one of {', '.join(names)}"
        raise UsageError(f"{name} has the value {text!r}", remedy) from None
