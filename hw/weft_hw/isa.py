"""The instruction set: the only definition of the instruction bits.

An instruction is 64 bytes, little endian. Bit positions follow from the order of the fields below.
Standard library only; assembler, disassembler, gateware, emulator and the reference page read this.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .config import GRANULE_BYTES, AcceleratorConfig

__all__ = [
    "ERROR_TEXT",
    "ErrorCode",
    "Field",
    "INSTRUCTION_BYTES",
    "ISA_VERSION",
    "Instruction",
    "InstructionError",
    "LAYOUTS",
    "LOOP_LEVELS",
    "Layout",
    "OPCODE_UNITS",
    "Opcode",
    "POSTS",
    "ResultType",
    "SEMAPHORES",
    "SEMAPHORE_MAX",
    "Space",
    "Unit",
    "WAITS",
    "check",
    "decode",
    "decode_program",
    "encode",
    "encode_program",
    "result_align_words",
    "space_words",
]

#: (major << 8) | minor; a program of another major version is refused.
ISA_VERSION = 0x0100
INSTRUCTION_BYTES = 64
LOOP_LEVELS = 6
SEMAPHORES = 16
#: Largest count; a post beyond it stops the core with SEMAPHORE.
SEMAPHORE_MAX = 63
#: Semaphores that an instruction waits on, and posts to, at most.
WAITS, POSTS = 3, 2


class Opcode(enum.IntEnum):
    """Operation. Zero is illegal, so that cleared memory stops the core."""

    END = 1
    LOAD = 2
    STORE = 3
    SETUP = 4
    MATMUL = 5


class Unit(enum.IntEnum):
    """Who executes an instruction. Each unit has a queue and works in order."""

    CONTROL = 0
    LOAD = 1
    COMPUTE = 2
    STORE = 3


OPCODE_UNITS: Mapping[Opcode, Unit] = MappingProxyType(
    {
        Opcode.END: Unit.CONTROL,
        Opcode.LOAD: Unit.LOAD,
        Opcode.STORE: Unit.STORE,
        Opcode.SETUP: Unit.COMPUTE,
        Opcode.MATMUL: Unit.COMPUTE,
    }
)


class Space(enum.IntEnum):
    """On-chip memory that a LOAD writes."""

    SCRATCHPAD = 0
    WEIGHTS = 1
    PARAMETERS = 2
    TABLES = 3


class ResultType(enum.IntEnum):
    """Element type of a result: requantised int8 or int16, or raw int32 accumulators."""

    INT8 = 0
    INT16 = 1
    INT32 = 2

    @property
    def bytes(self) -> int:
        """Bytes per element."""
        return 1 << self


class ErrorCode(enum.IntEnum):
    """Why the core stopped."""

    NONE = 0
    BAD_OPCODE = 1
    BAD_FIELD = 2
    ARENA = 3
    ADDRESS = 4
    BUS_READ = 5
    BUS_WRITE = 6
    WATCHDOG = 7
    SEMAPHORE = 8
    PROGRAM_END = 9


ERROR_TEXT: Mapping[ErrorCode, str] = MappingProxyType(
    {
        ErrorCode.NONE: "no error",
        ErrorCode.BAD_OPCODE: "the opcode is not defined",
        ErrorCode.BAD_FIELD: "a field, or a reserved bit, has an illegal value",
        ErrorCode.ARENA: "a DMA access leaves the arena",
        ErrorCode.ADDRESS: "an on-chip address is out of range",
        ErrorCode.BUS_READ: "the memory answered a read with SLVERR or DECERR",
        ErrorCode.BUS_WRITE: "the memory answered a write with SLVERR or DECERR",
        ErrorCode.WATCHDOG: "nothing moved for as many cycles as the watchdog allows",
        ErrorCode.SEMAPHORE: "a semaphore was posted beyond its maximum",
        ErrorCode.PROGRAM_END: "the program ended without an END instruction",
    }
)


class InstructionError(ValueError):
    """An instruction that the core would refuse; ``code`` is the error code that it would raise."""

    def __init__(self, code: ErrorCode, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Field:
    """`width` bits at bit `offset`."""

    name: str
    width: int
    doc: str
    signed: bool = False
    offset: int = -1

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.width - self.signed)) - 1


class Layout:
    """Fields of one opcode, at their bits. Iterates over :class:`Field`."""

    def __init__(self, fields: list[Field]):
        offset = 0
        self.fields: dict[str, Field] = {}
        for f in fields:
            self.fields[f.name] = Field(f.name, f.width, f.doc, f.signed, offset)
            offset += f.width
        #: First bit that no field owns; from here on all bits must be zero.
        self.used_bits = offset
        if offset > INSTRUCTION_BYTES * 8:
            raise AssertionError(f"layout has {offset} bits")

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields.values())

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields


def _header() -> list[Field]:
    fields = [Field("opcode", 8, "operation")]
    for i in range(WAITS):
        fields.append(Field(f"wait{i}_enable", 1, f"wait {i} is used"))
        fields.append(Field(f"wait{i}", 4, f"semaphore of wait {i}: less one before the start"))
    for i in range(POSTS):
        fields.append(Field(f"post{i}_enable", 1, f"post {i} is used"))
        fields.append(Field(f"post{i}", 4, f"semaphore of post {i}: raised, by one, at completion"))
    fields.append(Field("header_reserved", 7, "zero"))
    return fields


def _levels(name: str, width: int, doc: str, first: int = 0, signed: bool = True) -> list[Field]:
    return [
        Field(f"{name}{i}", width, doc.format(i=i), signed) for i in range(first, LOOP_LEVELS)
    ]


def _transfer(spaces: str) -> list[Field]:
    return [
        Field("space", 3, spaces),
        Field("dram_offset", 32, "byte offset into the arena of the first row; multiple of 16"),
        Field("dram_pitch", 32, "bytes from one row to the next in the arena; multiple of 16"),
        Field("rows", 16, "rows, >= 1"),
        Field("bytes", 24, "bytes of a row, >= 16; multiple of 16"),
        Field("chip_address", 20, "first word on chip, in 4-byte words; multiple of a bus beat"),
        Field("chip_pitch", 20, "words from one row to the next on chip; multiple of a bus beat"),
    ]


LAYOUTS: Mapping[Opcode, Layout] = MappingProxyType(
    {
        Opcode.END: Layout(_header()),
        Opcode.LOAD: Layout(
            _header() + _transfer("0 scratchpad, 1 weights, 2 parameters, 3 tables")
        ),
        Opcode.STORE: Layout(_header() + _transfer("0 scratchpad; others are illegal")),
        Opcode.SETUP: Layout(
            _header()
            + [
                Field("result_type", 2, "0 int8, 1 int16, 2 int32 (raw accumulators)"),
                Field("pre", 3, "right shift of the accumulator before saturation to 25 bits"),
                Field("zero_point", 16, "added after the scaling", True),
                Field("low", 16, "lower clamp bound", True),
                Field("high", 16, "upper clamp bound", True),
                Field("table_enable", 1, "int8 only: replace the result by a table entry"),
                Field("table", 4, "which table"),
                Field("per_row", 1, "reserved for scales per row; must be 0"),
            ]
            + _levels("result_jump", 20, "words added to the result address when level {i} steps")
            + _levels(
                "parameter_jump", 13, "pairs added to the parameter address when level {i} steps", 1
            )
        ),
        Opcode.MATMUL: Layout(
            _header()
            + _levels("count", 16, "iterations of level {i}, >= 1; 0 is innermost", signed=False)
            + [
                Field("tile_levels", 3, "innermost levels that stream rows past one tile, 1..5"),
                Field("reduction", 6, "bit i: level i runs along K; zero below tile_levels"),
                Field("first", 1, "start from the bias where all reduction levels start"),
                Field("last", 1, "emit results where all reduction levels are at their end"),
                Field("transposed", 1, "reserved for a transposed tile load; must be 0"),
                Field("act_address", 20, "first activation line, in words; multiple of a line"),
                Field("weight_address", 14, "first weight buffer word"),
                Field("acc_address", 12, "first accumulator row"),
                Field("result_address", 20, "first result row, in words"),
                Field("parameter_address", 12, "first parameter pair (two entries of 8 bytes)"),
            ]
            + _levels("act_jump", 20, "words added to the activation address when level {i} steps")
            + _levels("weight_jump", 15, "words added to the weight address as level {i} steps", 1)
            + _levels("acc_jump", 13, "rows added to the accumulator address when level {i} steps")
        ),
    }
)


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


def space_words(space: Space, config: AcceleratorConfig) -> int:
    """4-byte words of an on-chip memory."""
    return {
        Space.SCRATCHPAD: config.scratchpad_words,
        Space.WEIGHTS: config.weight_buffer_bytes // 4,
        Space.PARAMETERS: config.parameter_bytes // 4,
        Space.TABLES: config.tables * 64,
    }[space]


def result_align_words(result_type: ResultType, config: AcceleratorConfig) -> int:
    """Words that a result address, and its jumps, are a multiple of.

    A row of one line may start on any line; a longer row starts on an even one.
    """
    return (1 if result_type.bytes * config.cols == config.rows else 2) * config.rows // 4


def check(
    instruction: Instruction,
    config: AcceleratorConfig,
    result_type: ResultType = ResultType.INT8,
) -> None:
    """Refuse what the decoders of the core refuse with BAD_FIELD.

    `result_type` is that of the SETUP in force; only MATMUL depends on it.

    Raises
    ------
    InstructionError
        With the code that the core would raise.
    """
    op, get = instruction.opcode, instruction.__getitem__

    def rule(ok: bool, sentence: str) -> None:
        if not ok:
            raise InstructionError(ErrorCode.BAD_FIELD, f"{op.name}: {sentence}")

    def multiple(name: str, step: int) -> None:
        rule(get(name) % step == 0, f"{name} must be a multiple of {step}, not {get(name)}")

    if op is Opcode.END:
        rule(not instruction.waits and not instruction.posts, "has no waits and no posts")
    elif op in (Opcode.LOAD, Opcode.STORE):
        limit = Space.TABLES if op is Opcode.LOAD else Space.SCRATCHPAD
        rule(get("space") <= limit, f"space must be in 0..{int(limit)}, not {get('space')}")
        for name in ("rows", "bytes"):
            rule(get(name) > 0, f"{name} must be at least 1, not 0")
        for name in ("dram_offset", "dram_pitch", "bytes"):
            multiple(name, GRANULE_BYTES)
        for name in ("chip_address", "chip_pitch"):
            multiple(name, config.beat_bytes // 4)
    elif op is Opcode.SETUP:
        rule(get("result_type") <= 2, "result_type must be 0, 1 or 2, not 3")
        table, tables = get("table"), config.tables
        rule(table < tables, f"table must be below {tables}, not {table}")
        rule(get("per_row") == 0, "per_row must be 0")
        rule(
            not get("table_enable") or get("result_type") == ResultType.INT8,
            "table_enable needs result_type 0 (int8)",
        )
        step = result_align_words(ResultType(get("result_type")), config)
        for level in range(LOOP_LEVELS):
            multiple(f"result_jump{level}", step)
    elif op is Opcode.MATMUL:
        for level, count in enumerate(instruction.vector("count")):
            rule(count > 0, f"count{level} must be at least 1, not 0")
        levels = get("tile_levels")
        top = LOOP_LEVELS - 1
        rule(1 <= levels <= top, f"tile_levels must be in 1..{top}, not {levels}")
        rule(
            get("reduction") & ((1 << levels) - 1) == 0,
            f"reduction must be zero below tile_levels ({levels}), not {get('reduction'):#08b}",
        )
        rule(get("transposed") == 0, "transposed must be 0")
        multiple("act_address", config.line_bytes // 4)
        for level in range(LOOP_LEVELS):
            multiple(f"act_jump{level}", config.line_bytes // 4)
        multiple("result_address", result_align_words(result_type, config))
