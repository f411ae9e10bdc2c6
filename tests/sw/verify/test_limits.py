"""Small files that ask for much are refused before they get it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from weft.errors import ProgramRefused
from weft.program import Program, TensorSpec
from weft.verify import verify
from weft.verify.regions import MAX_BLOCKS, MAX_PROGRAM_BLOCKS, Region, _Kept, _listed
from weft_hw.config import preset
from weft_hw.isa import Instruction, Opcode, Space

TINY = preset("tiny")
END = Instruction(Opcode.END)


def jumps(counts, strides):
    """What each level adds so that the steps alone add `strides`."""
    back, found = 0, []
    for count, stride in zip(counts, strides):
        found.append(stride - back)
        back += (count - 1) * stride
    return found


def scattered(number):
    """MATMULs whose activations and accumulators lie in a million pieces each."""
    setup = Instruction(Opcode.SETUP, (), (), {"low": -128, "high": 127})
    counts, strides = (16, 16, 16, 16, 16, 1), (18, 20, 22, 24, 26, 0)
    fields = {f"count{i}": n for i, n in enumerate(counts)} | {"tile_levels": 5}
    fields |= {f"act_jump{i}": j for i, j in enumerate(jumps(counts, strides))}
    instructions = [setup]
    for i in range(number):
        more = {"act_address": 2 * i}
        instructions.append(Instruction(Opcode.MATMUL, (), (), {**fields, **more}))
    return Program(TINY, [*instructions, END], program_offset=32768, arena_bytes=65536)


def test_a_program_of_many_pieces_is_refused(tmp_path):
    program = scattered(50)
    program.save(tmp_path / "p.weft")
    assert (tmp_path / "p.weft").stat().st_size < 8000
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1500 << 20, 1500 << 20))\n"
        "from weft.program import Program\n"
        "from weft.verify import verify\n"
        "verify(Program.load(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p.weft")], capture_output=True, text=True,
        timeout=100,
    )
    assert f"touch more than {MAX_PROGRAM_BLOCKS} blocks" in done.stderr, done.stderr[-500:]


def test_what_is_kept_is_bounded_by_its_bytes():
    kept = _Kept(limit=100_000)
    regions = [Region.of(at, 4, [(16, 1000)]) for at in range(50)]
    for region in (*regions, *regions):
        found = kept.of(region)
        assert all(np.array_equal(a, b) for a, b in zip(found, _listed(region)))
    assert sum(a.nbytes + b.nbytes for a, b in kept._found.values()) <= 100_000
    assert len(kept._found) == 6
    huge = Region.of(0, 4, [(16, MAX_BLOCKS)])
    assert len(kept.of(huge)[0]) == MAX_BLOCKS and len(kept._found) == 1


def test_a_huge_arena_is_not_followed_byte_by_byte():
    size = (1 << 32) - 4096
    load = {"space": Space.WEIGHTS, "dram_offset": 0, "rows": 1, "bytes": 64, "chip_address": 0}
    instructions = [Instruction(Opcode.LOAD, (), (), load), END]
    spec = TensorSpec("x", "int8", (size - 8192,), 0, ())
    program = Program(TINY, instructions, program_offset=size - 4096, arena_bytes=size,
                      inputs=[spec])
    with pytest.raises(ProgramRefused, match="at most 536870912 are followed") as error:
        verify(program)
    assert error.value.rule == "size"
