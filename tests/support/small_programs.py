"""Small programs of known parts, to be verified; and what the verifier says of bad ones."""

from __future__ import annotations

import pytest

from weft.errors import ProgramRefused
from weft.program import Program, TensorSpec
from weft.verify import verify
from weft_hw.config import preset
from weft_hw.isa import Instruction, Opcode, Space

__all__ = [
    "END", "STATE", "TINY", "counts", "good", "load", "matmul", "program", "refusal", "setup",
    "store",
]  # fmt: skip

TINY = preset("tiny")


END = Instruction(Opcode.END)
STATE = TensorSpec("h", "int8", (64,), 8192, ())


def counts(*values: int) -> dict[str, int]:
    return {f"count{i}": (values + (1,) * 6)[i] for i in range(6)}


def load(space=Space.SCRATCHPAD, offset=0, size=64, address=0, waits=(), posts=(), **more):
    fields = {"space": space, "dram_offset": offset, "rows": 1, "bytes": size}
    fields.update(chip_address=address, **more)
    return Instruction(Opcode.LOAD, waits, posts, fields)


def store(offset=8192, size=64, address=512, waits=(), posts=(), **more):
    fields = {"dram_offset": offset, "rows": 1, "bytes": size, "chip_address": address, **more}
    return Instruction(Opcode.STORE, waits, posts, fields)


def matmul(*sizes, waits=(), posts=(), **fields):
    base = {**counts(*sizes), "tile_levels": 1, "first": 1, "last": 1, "act_jump0": 2}
    base["result_address"] = 512
    return Instruction(Opcode.MATMUL, waits, posts, {**base, **fields})


def setup(**fields):
    base = {"low": -128, "high": 127, "result_jump0": 2}
    return Instruction(Opcode.SETUP, (), (), {**base, **fields})


def program(*instructions, config=TINY, zeros=8192, constants=(), **changes) -> Program:
    """A program whose first `zeros` bytes of the arena are constants, given ones or zero."""
    base = {"program_offset": 32768, "arena_bytes": 65536, **changes}
    held = [(at, at + len(data)) for at, data in constants]
    held += [(s.offset, s.end) for kind in ("inputs", "states") for s in changes.get(kind, ())]
    edges = [0, *(edge for span in sorted(held) for edge in span), zeros]
    gaps = [(a, bytes(max(0, min(b, zeros) - a))) for a, b in zip(edges[::2], edges[1::2])]
    gaps = [gap for gap in gaps if gap[1]]
    return Program(config, [*instructions, END], constants=[*constants, *gaps], **base)


def good(**changes):
    """Loads, one MATMUL of 8 rows, a store; keyword arguments replace instructions."""
    steps = {
        "weights": load(Space.WEIGHTS, 1024),
        "parameters": load(Space.PARAMETERS, 2048),
        "tables": load(Space.TABLES, 4096, 512),
        "acts": load(posts=(0,)),
        "setup": setup(),
        "matmul": matmul(8, waits=(0,), posts=(1,)),
        "store": store(waits=(1,)),
    }
    steps.update(changes)
    return program(*(s for s in steps.values() if s is not None))


def refusal(given: Program) -> ProgramRefused:
    with pytest.raises(ProgramRefused) as error:
        verify(given)
    assert error.value.exit_code == 4
    return error.value
