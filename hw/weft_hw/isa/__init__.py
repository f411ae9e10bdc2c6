"""The instruction set: the only definition of the instruction bits.

An instruction is 64 bytes, little endian. Standard library only; assembler, disassembler, gateware,
emulator and the reference page read this. ``opcodes`` names things, ``units`` is the table of the
units, ``layouts`` places the fields, ``instruction`` encodes and decodes, ``check`` holds the rules
on values.
"""

from __future__ import annotations

from .check import check, result_align_words, space_words
from .instruction import Instruction, decode, decode_program, encode, encode_program
from .layouts import LAYOUTS, Field, Layout
from .opcodes import (
    ERROR_TEXT,
    INSTRUCTION_BYTES,
    ISA_VERSION,
    LOOP_LEVELS,
    POSTS,
    RESIDUAL_SHIFT,
    SEMAPHORE_MAX,
    SEMAPHORES,
    SPACE_BITS,
    SUBSTEPS,
    TAP_DELAY_MAX,
    TAP_PARAMETERS,
    TAPS,
    WAITS,
    WEIGHT_MAX,
    WEIGHT_MIN,
    ErrorCode,
    InstructionError,
    Opcode,
    ResultType,
    Space,
)
from .units import (
    OPCODE_UNITS,
    UNITS,
    Counter,
    Unit,
    UnitSpec,
    opcode_units,
    queued,
    unit_counters,
    units_of,
)

__all__ = [
    "Counter",
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
    "RESIDUAL_SHIFT",
    "ResultType",
    "SEMAPHORES",
    "SEMAPHORE_MAX",
    "SPACE_BITS",
    "SUBSTEPS",
    "Space",
    "TAPS",
    "TAP_DELAY_MAX",
    "TAP_PARAMETERS",
    "UNITS",
    "Unit",
    "UnitSpec",
    "WAITS",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "check",
    "decode",
    "decode_program",
    "encode",
    "encode_program",
    "opcode_units",
    "queued",
    "result_align_words",
    "space_words",
    "unit_counters",
    "units_of",
]
