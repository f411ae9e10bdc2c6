"""Which field values a configuration allows: what the decoders of the core refuse."""

from __future__ import annotations

from ..config import GRANULE_BYTES, AcceleratorConfig
from .instruction import Instruction
from .layouts import LAYOUTS
from .opcodes import (
    LOOP_LEVELS,
    TAP_DELAY_MAX,
    TAPS,
    ErrorCode,
    InstructionError,
    Opcode,
    ResultType,
    Space,
)
from .units import UNITS, units_of

__all__ = ["check", "result_align_words", "space_words"]


def space_words(space: Space, config: AcceleratorConfig) -> int:
    """4-byte words of an on-chip memory."""
    return {
        Space.SCRATCHPAD: config.scratchpad_words,
        Space.WEIGHTS: config.weight_buffer_bytes // 4,
        Space.PARAMETERS: config.parameter_bytes // 4,
        Space.TABLES: config.tables * 64,
        Space.TAPS: TAPS * config.tap_words * config.line_bytes // 4,
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

    spec = next(spec for spec in UNITS if op in spec.opcodes)
    if spec not in units_of(config):
        raise InstructionError(ErrorCode.BAD_OPCODE, f"{config.name} has no {spec.name} unit")
    rule(spec.may_wait or not instruction.waits, "has no waits")
    rule(spec.may_post or not instruction.posts, "has no posts")
    if op in (Opcode.LOAD, Opcode.STORE):
        last = Space.TAPS if config.tap_words else Space.TABLES
        limit = last if op is Opcode.LOAD else Space.SCRATCHPAD
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
        rule(
            not get("residual") or get("result_type") == ResultType.INT8,
            "residual needs result_type 0 (int8)",
        )
        step = result_align_words(ResultType(get("result_type")), config)
        for level in range(LOOP_LEVELS):
            multiple(f"result_jump{level}", step)
    elif op is Opcode.DEPTHWISE:
        for level, count in enumerate(instruction.vector("count")):
            rule(count > 0, f"count{level} must be at least 1, not 0")
        rule(get("skip") < get("count2"), f"skip must be below count2, not {get('skip')}")
        for name in ("delay1", "delay2"):
            rule(
                1 <= get(name) <= TAP_DELAY_MAX,
                f"{name} must be in 1..{TAP_DELAY_MAX}, not {get(name)}",
            )
        rule(
            get("table") < config.tables,
            f"table must be below {config.tables}, not {get('table')}",
        )
        for name in ("act_address", "result_address"):
            multiple(name, config.line_bytes // 4)
        for level in range(LOOP_LEVELS):
            for name in ("act_jump", "result_jump"):
                if f"{name}{level}" in LAYOUTS[op]:
                    multiple(f"{name}{level}", config.line_bytes // 4)
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
        multiple("result_address", result_align_words(result_type, config))
