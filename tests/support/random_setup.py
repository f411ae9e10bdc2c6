"""A random SETUP for a nest of products."""

from __future__ import annotations

from choices import Choices
from random_nests import jump_fields, random_strides
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Instruction, Opcode, ResultType, result_align_words

__all__ = ["random_setup"]


def random_setup(
    choices: Choices, config: AcceleratorConfig, counts: list[int], levels: int
) -> Instruction:
    """Results of any type, scaled, clamped, looked up, added to, at places of their own or not."""
    kind = ResultType(choices.pick([0, 0, 0, 1, 2]))
    step = result_align_words(kind, config)
    results = random_strides(choices, counts, step, config.scratchpad_words // 2)
    parameters = random_strides(choices, counts, 1, config.parameter_entries // 4, levels)
    width = 8 if kind is ResultType.INT8 else 16
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    if choices.chance(30):
        low, high = sorted(choices.integer(low, high) for _ in range(2))
    table = kind is ResultType.INT8 and choices.chance(35)
    residual = kind is ResultType.INT8 and choices.chance(35)
    if residual and choices.chance(80):  # only results at different places can have one
        step = 1
        for level, count in enumerate(counts):
            results[level] = step * result_align_words(kind, config)
            step *= count
    fields = {
        "result_type": kind,
        "pre": choices.pick([0, 0, 1, 7, choices.integer(0, 7)]),
        "zero_point": choices.pick([0, -128, 127, choices.integer(-32768, 32767)]),
        "low": low,
        "high": high,
        "table_enable": int(table),
        "table": choices.integer(0, config.tables - 1),
        "residual": int(residual),
        "residual_zero_point": choices.pick([0, -128, 127, choices.integer(-128, 127)]),
        "residual_multiplier": choices.pick([1, 1 << 11, (1 << 17) - 1]),
        "maximum": int(choices.chance(15)),
        **jump_fields("result_jump", counts, results),
        **jump_fields("parameter_jump", counts, parameters, max(levels, 1)),
    }
    return Instruction(Opcode.SETUP, (), (), fields)
