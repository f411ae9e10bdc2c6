"""Assembler and disassembler."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.program.asm import assemble, disassemble
from weft_hw.isa import LAYOUTS, POSTS, SEMAPHORES, WAITS, Instruction, Opcode, decode, encode

HEADER = {f.name for f in LAYOUTS[Opcode.END]}


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    opcode = draw(st.sampled_from(Opcode))
    semaphore = st.integers(0, SEMAPHORES - 1)
    fields = {}
    for f in LAYOUTS[opcode]:
        if f.name not in HEADER:
            fields[f.name] = draw(st.sampled_from([0, f.low, f.high]) | st.integers(f.low, f.high))
    waits = tuple(draw(st.lists(semaphore, max_size=WAITS)))
    posts = tuple(draw(st.lists(semaphore, max_size=POSTS)))
    return Instruction(opcode, waits, posts, fields)


@given(st.lists(instructions(), max_size=4))
def test_round_trip(program):
    assert assemble(disassemble(program)) == program
    assert [decode(encode(i)) for i in program] == program


def test_text_forms():
    text = """
    # a whole line of comment
    LOAD wait=3 post=0,1 space=weights dram_offset=0x1000 rows=1 bytes=256   # tail
    matmul count=16,4 tile_levels=1 act_jump=4 weight_jump=0,-8 act_jump5=-4

    setup result_type=int32
    end
    """
    with pytest.raises(UsageError, match="line 4: act_jump5 is given twice"):
        assemble(text)
    load, matmul, setup, end = assemble(text.replace(" act_jump5=-4", " count5=1").replace(
        "count5=1", "acc_jump5=-4"))  # fmt: skip
    assert load == Instruction(Opcode.LOAD, (3,), (0, 1), {
        "space": 1, "dram_offset": 4096, "rows": 1, "bytes": 256})  # fmt: skip
    assert matmul.vector("count") == (16, 4, 1, 1, 1, 1)
    assert matmul.vector("act_jump") == (4, 0, 0, 0, 0, 0)
    assert matmul.vector("weight_jump") == (0, 0, -8, 0, 0, 0)
    assert matmul["acc_jump5"] == -4
    assert setup["result_type"] == 2 and end.opcode is Opcode.END


def test_printed_form():
    line = "matmul wait=1,2 post=3 count=16,4,3,1,1,1 tile_levels=1 act_jump=4,0,0,0,0,0\n"
    assert disassemble(assemble(line)) == line


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("jump x=1", "unknown instruction 'jump'; there are end, load, store, setup, matmul, "
         "depthwise"),
        ("load address=1", "load has no field 'address'; it has wait, post, space, dram_offset, "
         "dram_pitch, rows, bytes, chip_address, chip_pitch, fill, fill_value"),
        ("load rows", "'rows' is not name=value; write it without spaces round '='"),
        ("load rows=", "'rows=' is not name=value; write it without spaces round '='"),
        ("load rows=1 rows=2", "rows is given twice; name each field once"),
        ("load rows=many", "rows has the value 'many'; write a decimal or 0x number"),
        ("load space=attic", "space has the value 'attic'; write a decimal or 0x number, or one of "
         "scratchpad, weights, parameters, tables, taps"),
        ("load rows=1,2", "rows has 2 values; it takes one"),
        ("matmul count=1,1,1,1,1,1,1", "count has 7 values; it takes 6, one per loop level"),
        ("load rows=65536", "LOAD rows must be in 0..65535, not 65536"),
        ("load wait=16", "semaphore must be in 0..15, not 16"),
        ("load wait=1,2,3,4", "an instruction has at most 3 waits, not 4"),
        ("end opcode=1", "end has no field 'opcode'; it has wait, post"),
    ],
)  # fmt: skip
def test_errors(line, sentence):
    with pytest.raises(UsageError) as error:
        assemble(f"end\n\n{line}\n")
    assert str(error.value) == f"line 3: {sentence}"
