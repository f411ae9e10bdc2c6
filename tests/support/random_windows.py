"""A random DEPTHWISE that the verifier accepts, as far as it goes by itself."""

from __future__ import annotations

from choices import Choices
from random_nests import jump_fields, placed, random_strides
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import LAYOUTS, TAP_PARAMETERS, Instruction, Opcode

__all__ = ["random_window"]

SKIP_MAX = (1 << LAYOUTS[Opcode.DEPTHWISE]["skip"].width) - 1


def random_window(choices: Choices, config: AcceleratorConfig) -> Instruction | None:
    """Over lines of the scratchpad; None where chance put it nowhere."""
    sub, kernel = choices.integer(1, 3), choices.integer(1, 5)
    delays = [choices.integer(1, 9) for _ in range(2)]
    fire = choices.integer(1, (1 << sub) - 1)
    first = next(i for i in range(sub) if fire >> i & 1)
    skip = -(-max(sum(delays) - first, 0) // (sub * kernel))
    if skip > SKIP_MAX:
        return None
    outer = [choices.integer(1, 3) for _ in range(3)]
    counts = [sub, kernel, skip + choices.integer(1, 5), *outer]
    line, words = config.line_bytes // 4, config.scratchpad_words
    act = placed(
        choices, "act", counts,
        jump_fields("act_jump", counts, random_strides(choices, counts, line, words // 2)),
        line, line, words,
    )  # fmt: skip
    kept = [1, 1, counts[2] - skip, *counts[3:]]
    result = placed(
        choices, "result", kept,
        jump_fields("result_jump", kept, random_strides(choices, kept, line, words // 2), 2),
        line, line, words,
    )  # fmt: skip
    blocks = [1, 1, 1, 1, *counts[4:]]
    size = TAP_PARAMETERS + kernel * bin(fire).count("1")
    tap = placed(
        choices, "tap", blocks,
        jump_fields("tap_jump", blocks, random_strides(choices, blocks, 1, size * 3), 4),
        1, size, config.tap_words,
    )  # fmt: skip
    if not (act and result and tap):
        return None
    low, high = sorted(choices.integer(-128, 127) for _ in range(2))
    fields = {f"count{i}": c for i, c in enumerate(counts)}
    fields.update(act, **result, **tap)
    fields.update(
        fire=fire, skip=skip, delay1=delays[0], delay2=delays[1], low=low, high=high,
        pre=choices.pick([0, 0, 1, 7]), zero_point=choices.integer(-128, 127),
        table_enable=int(choices.chance(35)), table=choices.integer(0, config.tables - 1),
    )  # fmt: skip
    return Instruction(Opcode.DEPTHWISE, (), (), fields)
