"""Instruction words, legal and not, and the verdict of the instruction set on each."""

from __future__ import annotations

import random

from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    LAYOUTS,
    TAP_DELAY_MAX,
    ErrorCode,
    InstructionError,
    Opcode,
    ResultType,
    Space,
    check,
    decode,
)

#: Random values tried for each field.
PER_FIELD = 6


def legal_word(rng: random.Random, opcode: Opcode, config: AcceleratorConfig) -> int:
    """A random word that satisfies every rule, but perhaps those that depend on the result type."""
    word = int(opcode)
    line = config.line_bytes // 4
    steps = {"result_jump": rng.choice([1, 2]) * line}
    steps |= {"result_address": rng.choice([1, 2]) * line, "dram": 16, "bytes": 16, "chip": 4}
    steps["act_"] = line if opcode is Opcode.DEPTHWISE else 1
    fixed = {"header_reserved": 0, "transposed": 0, "per_row": 0, "table_enable": 0, "residual": 0}
    fixed |= {"opcode": 0, "reduction": 0}
    for f in LAYOUTS[opcode]:
        step = next((s for name, s in steps.items() if f.name.startswith(name)), 1)
        value = rng.randrange(0, 1 << f.width, step)
        if f.name in fixed or (opcode is Opcode.END and f.name.endswith("enable")):
            value = fixed.get(f.name, 0)
        elif f.name == "tile_levels":
            value = rng.randrange(1, 6)
        elif f.name == "space":
            spaces = Space.TAPS + bool(config.tap_words)
            value = rng.randrange(spaces if opcode is Opcode.LOAD else 1)
        elif f.name == "table":
            value = rng.randrange(config.tables)
        elif f.name == "result_type":
            value = rng.randrange(3)
        elif f.name == "rows" or f.name.startswith("count"):
            value = max(value, 1)
        elif f.name == "bytes":
            value = max(value, 16)
        elif f.name.startswith("delay"):
            value = rng.randint(1, TAP_DELAY_MAX)
        elif f.name == "skip":
            count2 = LAYOUTS[opcode]["count2"]
            positions = word >> count2.offset & ((1 << count2.width) - 1)
            value = min(value, positions - 1)
        word |= value << f.offset
    return word


def words(rng: random.Random, config: AcceleratorConfig) -> list[int]:
    """Legal words, words with one field random or at its limits, words with one wrong bit."""
    found = []
    for opcode in Opcode:
        layout = LAYOUTS[opcode]
        found += [legal_word(rng, opcode, config) for _ in range(20)]
        for f in layout:
            ones = (1 << f.width) - 1
            values = [0, 1, ones, 1 << (f.width - 1)]
            for value in values + [rng.randint(0, ones) for _ in range(PER_FIELD)]:
                word = legal_word(rng, opcode, config)
                found.append(word & ~(ones << f.offset) | value << f.offset)
        for _ in range(30):
            found.append(legal_word(rng, opcode, config) ^ 1 << rng.randrange(512))
    found += [rng.randrange(256) for _ in range(20)]
    rng.shuffle(found)
    return found


def verdicts(sequence: list[int], config: AcceleratorConfig) -> list[int]:
    """What the instruction set says about each word, with the result type in program order."""
    result_type = ResultType.INT8
    codes = []
    for word in sequence:
        try:
            instruction = decode(word.to_bytes(64, "little"))
            check(instruction, config, result_type)
            codes.append(ErrorCode.NONE)
            if instruction.opcode is Opcode.SETUP:
                result_type = ResultType(instruction["result_type"])
        except InstructionError as error:
            codes.append(error.code)
    return codes
