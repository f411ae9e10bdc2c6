"""Opcodes, memories, result types, error codes, and the sizes that all layouts share."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "ERROR_TEXT",
    "ErrorCode",
    "INSTRUCTION_BYTES",
    "ISA_VERSION",
    "InstructionError",
    "LOOP_LEVELS",
    "Opcode",
    "POSTS",
    "RESIDUAL_SHIFT",
    "ResultType",
    "SEMAPHORES",
    "SEMAPHORE_MAX",
    "SPACE_BITS",
    "SUBSTEPS",
    "TAPS",
    "TAP_DELAY_MAX",
    "TAP_PARAMETERS",
    "Space",
    "WAITS",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
]

#: (major << 8) | minor. A program runs on its own version and on later minor ones.
ISA_VERSION = 0x0102
INSTRUCTION_BYTES = 64
LOOP_LEVELS = 6
SEMAPHORES = 16
#: Largest count; a post beyond it stops the core with SEMAPHORE.
SEMAPHORE_MAX = 63
#: Semaphores that an instruction waits on, and posts to, at most.
WAITS, POSTS = 3, 2
#: Weights are symmetric: a packed cell gives a wrong product for -128. Constants are refused where
#: they break it, and programs whose loads of weights could.
WEIGHT_MIN, WEIGHT_MAX = -127, 127
#: Left shift of a residual in front of its multiplication: it has 9 bits where a sum has 25.
RESIDUAL_SHIFT = 12


#: Multiplications of a lane of the depthwise engine in a cycle: one column of a kernel of 3 x 3.
TAPS = 3
#: Reads that one tap, at most, lies behind the tap before it.
TAP_DELAY_MAX = 32
#: Words of a block of taps in front of its weights: the parameters of its R channels.
TAP_PARAMETERS = 3
#: Iterations of the innermost level of a DEPTHWISE, at most: a bit of `fire` each.
SUBSTEPS = 4


class Opcode(enum.IntEnum):
    """Operation. Zero is illegal, so that cleared memory stops the core."""

    END = 1
    LOAD = 2
    STORE = 3
    SETUP = 4
    MATMUL = 5
    DEPTHWISE = 6


class Space(enum.IntEnum):
    """On-chip memory that a LOAD writes."""

    SCRATCHPAD = 0
    WEIGHTS = 1
    PARAMETERS = 2
    TABLES = 3
    TAPS = 4


#: Bits of a Space.
SPACE_BITS = max(Space).bit_length()


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
