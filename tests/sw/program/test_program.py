"""Program files: round trip, refusals, tensors in the arena."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest

from weft.errors import Mismatch, ProgramFileError, UsageError
from weft.program import (
    FORMAT_VERSION,
    MAGIC,
    NodeSpan,
    Patch,
    PatchSite,
    Program,
    TensorSpec,
)
from weft_hw.config import preset
from weft_hw.isa import ISA_VERSION, Instruction, Opcode

TINY = preset("tiny")
LOAD = Instruction(Opcode.LOAD, (), (1,), {"dram_offset": 4096, "rows": 3, "bytes": 16})
STORE = Instruction(Opcode.STORE, (1,), (), {"dram_offset": 8192, "rows": 3, "bytes": 16})


def make(**changes: object) -> Program:
    base = {
        "config": TINY,
        "instructions": [LOAD, STORE, Instruction(Opcode.END)],
        "program_offset": 256,
        "arena_bytes": 16384,
        "constants": [(1024, np.arange(48, dtype=np.int8)), (512, b"abc")],
        "inputs": [TensorSpec("x", "int8", (3, 7), 4096, (16,))],
        "outputs": [TensorSpec("y", "int32", (3, 4), 8192, (32,))],
        "metadata": {"macs": 12, "predicted_cycles": 100.5},
    }
    return Program(**{**base, **changes})  # type: ignore[arg-type]


def reseal(raw: bytes, edit) -> bytes:
    """`raw` with an edited header and a correct digest."""
    _, _, size, _ = struct.unpack_from("<8sIIQ", raw)
    header = json.loads(raw[24 : 24 + size])
    edit(header)
    text = json.dumps(header).encode()
    payload = raw[24 + size : -32]
    total = 24 + len(text) + len(payload) + 32
    body = struct.pack("<8sIIQ", MAGIC, FORMAT_VERSION, len(text), total) + text + payload
    return body + hashlib.sha256(body).digest()


def test_round_trip(tmp_path):
    program = make()
    path = tmp_path / "p.weft"
    program.save(path)
    again = Program.load(path, TINY)
    assert again == program and again.digest == program.digest
    assert hash(again) == hash(program)
    assert again.metadata == {"macs": 12, "predicted_cycles": 100.5}
    assert [o for o, _ in again.constants] == [512, 1024]


def test_image_holds_program_and_constants():
    program = make()
    image = program.image()
    assert image.dtype == np.uint8 and len(image) == 16384
    assert bytes(image[256 : 256 + 192]) == program.encoded
    assert bytes(image[512:515]) == b"abc"
    assert list(image[1024:1072]) == list(range(48))


def test_tensors_move_in_and_out():
    program = make()
    image = program.image()
    image[4096:4200] = 0xAA
    x = np.arange(-10, 11, dtype=np.int8).reshape(3, 7)
    program.inputs["x"].write(image, x)
    assert (image[4096:4103].view(np.int8) == x[0]).all()
    assert (image[4112:4119].view(np.int8) == x[1]).all()
    assert not image[4103:4112].any() and not image[4135:4144].any(), "padding of a run is zero"
    assert (image[4144:4200] == 0xAA).all()
    y = np.array([[1, -2, 3, 2**31 - 1]] * 3, "<i4")
    for row in range(3):
        image[8192 + 32 * row : 8208 + 32 * row] = y[row].view(np.uint8)
    out = program.outputs["y"].read(image)
    assert out.dtype == np.int32 and (out == y).all()


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((3, 7), np.int16), "input 'x' must be int8 [3, 7], not int16 [3, 7]"),
        (np.zeros((7, 3), np.int8), "input 'x' must be int8 [3, 7], not int8 [7, 3]"),
    ],
)
def test_wrong_inputs(array, sentence):
    with pytest.raises(UsageError) as error:
        make().inputs["x"].check("input", array)
    assert str(error.value) == sentence


def test_short_arena():
    with pytest.raises(UsageError, match=r"the arena must be uint8 \[>= 8272\]"):
        make().outputs["y"].read(np.zeros(100, np.uint8))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"instructions": []}, "program: needs 1..16777215 instructions, not 0"),
        ({"arena_bytes": 100},
         "program: arena_bytes must be a multiple of 16 below 2**32, not 100"),
        ({"program_offset": 64}, "program: program_offset must be a multiple of 256, not 64"),
        ({"constants": [(3, b"x")]},
         "program: the offset of a constant must be a multiple of 16, not 3"),
        ({"constants": [(16, b"")]}, "program: the constant at 16 is empty"),
        ({"constants": [(256, b"x")]},
         "program: the program and the constant at 256 overlap in the arena"),
        ({"constants": [(4128, b"x")]},
         "program: the constant at 4128 and input 'x' overlap in the arena"),
        ({"constants": [(16368, bytes(32))]},
         "program: the constant at 16368 ends at byte 16400, beyond the arena of 16384 bytes"),
        ({"outputs": [TensorSpec("x", "int8", (1, 1), 8192, (16,))]},
         "program: 'x' is both an input and an output"),
        ({"inputs": [TensorSpec("a", "int8", (1, 1), 8192, (16,))] * 2},
         "program: two inputs are named 'a'"),
    ],
)  # fmt: skip
def test_refusals(change, sentence):
    with pytest.raises(UsageError) as error:
        make(**change)
    assert str(error.value) == sentence


def test_interleaved_tensors_are_fine():
    make(outputs=[TensorSpec("y", "int8", (3, 16), 8192, (32,)),
                  TensorSpec("z", "int8", (3, 16), 8208, (32,))])  # fmt: skip
    heads = [TensorSpec(f"head{i}", "int8", (3, 2, 16), 8192 + 16 * i, (128, 32)) for i in range(2)]
    make(outputs=heads)
    with pytest.raises(UsageError, match="output 'head1' and output 'head0' overlap"):
        make(outputs=[heads[0], TensorSpec("head1", "int8", (3, 2, 17), 8208, (128, 32))])


def test_a_tensor_of_more_runs_than_are_listed_counts_as_one():
    size = 1 << 27
    many = TensorSpec("y", "int8", (1 << 22, 16), 8192, (32,))
    make(arena_bytes=size + 8192, outputs=[many])
    with pytest.raises(UsageError, match="output 'y' and output 'z' overlap"):
        make(
            arena_bytes=size + 8192,
            outputs=[many, TensorSpec("z", "int8", (3, 16), 8208, (32,))],
        )


STATE = TensorSpec("h", "int8", (2, 16), 12288, (64,))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"constants": [(12272, bytes(32))]},
         "program: the constant at 12272 and state 'h' overlap in the arena"),
        ({"constants": [(12352, bytes(32))]},
         "program: state 'h' and the constant at 12352 overlap in the arena"),
        ({"constants": [(12288, bytes(32)), (12304, bytes(32))]},
         "program: the constant at 12288 and the constant at 12304 overlap in the arena"),
        ({"outputs": [TensorSpec("y", "int8", (16,), 12304, ())]},
         "program: state 'h' and output 'y' overlap in the arena"),
        ({"inputs": [TensorSpec("h", "int8", (16,), 4096, ())]},
         "program: 'h' is both an input and a state"),
    ],
)  # fmt: skip
def test_a_state_owns_its_bytes_gaps_included(change, sentence):
    with pytest.raises(UsageError) as error:
        make(states=[STATE], **change)
    assert str(error.value) == sentence


def test_first_values_of_a_state():
    program = make(states=[STATE], constants=[(512, b"abc"), (12304, b"\x01\x02" * 8)])
    assert program.first_values == ((12304, b"\x01\x02" * 8),)
    buffer = np.full(16384, 0xAA, np.uint8)
    program.reset_states(buffer)
    want = program.image()[12288 : 12288 + 80]
    assert (buffer[12288:12368] == want).all() and want.sum() == 24
    assert (buffer[:12288] == 0xAA).all() and (buffer[12368:] == 0xAA).all()
    assert (program.states["h"].read(program.image()) == 0).all()


POSITION = Patch("position", 0, 9, ((0, "dram_offset", 16), (1, "dram_offset", 32)))


def test_states_nodes_and_patches_are_in_the_file():
    program = make(
        states=[STATE],
        nodes=[NodeSpan("a", "linear", 0, 1), NodeSpan("b", "linear", 1, 2)],
        patches=[POSITION],
    )
    again = Program.from_bytes(program.to_bytes())
    assert again == program and again.digest == program.digest
    assert again.patches["position"].sites[1] == PatchSite(1, "dram_offset", 32)
    assert [str(again.node_of(i)) for i in range(3)] == ["a (linear)", "b (linear)", "None"]
    assert len({program.digest, make().digest, make(patches=[POSITION]).digest}) == 3


def test_patched():
    rows = Patch("rows", -2, 1, ((0, "rows", 1), (1, "dram_offset", 16)))
    program = make(patches=[POSITION, rows])
    assert set(program.patched_instructions({"position": 0, "rows": 0})) == {0, 1}
    patched = program.patched({"position": 3, "rows": -2})
    assert patched.patches == {} and patched.digest != program.digest
    load, store, _ = patched.instructions
    assert (load["dram_offset"], load["rows"]) == (4096 + 48, 1)
    assert store["dram_offset"] == 8192 + 96 - 32
    assert program.patched({"position": 0, "rows": 0}).instructions == program.instructions


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "patch 'position' has no value; give one in 0..9"),
        ({"position": 10}, "patch 'position' must be an int in 0..9, not 10"),
        ({"position": True}, "patch 'position' must be an int in 0..9, not True"),
        ({"position": 1, "x": 1},
         "the program has no patch value 'x'; its patch values are: position"),
    ],
)  # fmt: skip
def test_wrong_values(values, sentence):
    with pytest.raises(UsageError) as error:
        make(patches=[POSITION]).patched(values)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ((0, 0, []), "patch 'p': needs a site"),
        ((2, 1, [(0, "rows", 1)]), "patch 'p': low must not exceed high, not 2 and 1"),
        ((0, 1, [(0, "rows", 1.0)]),
         "patch 'p': a site must be (instruction, field, step), not (0, 'rows', 1.0)"),
        ((0, 1, [(9, "rows", 1)]), "program: patch 'p' names instruction 9"),
        ((0, 1, [(0, "count0", 1)]), "program: LOAD has no field 'count0' to patch"),
        ((0, 1, [(0, "opcode", 1)]), "program: LOAD has no field 'opcode' to patch"),
        ((0, 9, [(0, "rows", -1)]),
         "program: patches set rows of instruction 0 to -6..3, it holds 0..65535"),
    ],
)  # fmt: skip
def test_wrong_patches(patch, sentence):
    with pytest.raises(UsageError) as error:
        make(patches=[Patch("p", *patch)])
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("spans", "sentence"),
    [
        ([(0, 2), (1, 3)], "program: nodes must follow each other, n1 (op) has 1..3"),
        ([(1, 1)], "program: nodes must follow each other, n0 (op) has 1..1"),
        ([(0, 4)], "program: a node ends at instruction 4 of 3"),
    ],
)
def test_wrong_nodes(spans, sentence):
    with pytest.raises(UsageError) as error:
        make(nodes=[NodeSpan(f"n{i}", "op", *span) for i, span in enumerate(spans)])
    assert str(error.value) == sentence


def test_every_truncation_is_one_sentence():
    raw = make().to_bytes()
    for size in [0, 1, 7, 8, 20, 55, 56, 100, len(raw) // 2, len(raw) - 1]:
        with pytest.raises(ProgramFileError) as error:
            Program.from_bytes(raw[:size])
        assert "truncated" in str(error.value) or size == 0
        assert "\n" not in str(error.value)


def test_every_changed_byte_is_found():
    raw = make().to_bytes()
    for at in range(0, len(raw), 7):
        with pytest.raises(ProgramFileError):
            Program.from_bytes(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])


def test_trailing_bytes_and_other_versions():
    raw = make().to_bytes()
    with pytest.raises(ProgramFileError, match="1 more than it declares"):
        Program.from_bytes(raw + b"x")
    sentence = "has format version 1, this Weft reads version 2; compile it again$"
    with pytest.raises(ProgramFileError, match=sentence):
        Program.from_bytes(raw[:8] + struct.pack("<I", 1) + raw[12:])
    with pytest.raises(ProgramFileError, match="is not a Weft program"):
        Program.from_bytes(b"\x7fELF" + bytes(200))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda h: h.update(arena_bytes=True), "header arena_bytes must be int, not True"),
        (lambda h: h.update(extra=1), "check extra"),
        (lambda h: h.pop("inputs"), "check inputs"),
        (lambda h: h.update(instructions=4), "the payload has"),
        (lambda h: h["constants"].append([0, 16]), "the payload has"),
        (lambda h: h["constants"].append([0, -16]), "the constant at 0 has -16 bytes"),
        (lambda h: h["constants"].append(3), "a constant must be [offset, bytes], not 3"),
        (lambda h: h["inputs"][0].update(shape=[3, 0]), "shape must be 1 to 8 positive ints"),
        (lambda h: h["inputs"][0].update(pitches=[True]), "pitches must be 1 ints below 2**32"),
        (lambda h: h["inputs"].append(4), "a tensor must be an object, not 4"),
        (lambda h: h["nodes"].append([]), "a node must be an object, not []"),
        (lambda h: h["patches"].append({"name": "p"}), "the patch must have exactly"),
        (lambda h: h["patches"].append({"name": "p", "low": 0, "high": 1, "sites": [[0, "rows"]]}),
         "missing 1 required"),
        (lambda h: h["inputs"][0].update(offset=1 << 40), "beyond the arena"),
        (lambda h: h["inputs"][0].update(shape=[1 << 31] * 3, pitches=[16, 16]),
         "pitch 1 must be at least the 2147483648 bytes"),
        (lambda h: h["inputs"][0].update(shape=[1 << 31, 16]), "beyond the arena"),
        (lambda h: h["constants"][0].__setitem__(0, 1 << 70), "beyond the arena"),
        (lambda h: h.update(program_offset=1 << 70), "beyond the arena"),
        (lambda h: h["patches"].append(
            {"name": "p", "low": 0, "high": 1 << 99, "sites": [[0, "rows", 1]]}),
         "patches set rows of instruction 0 to 3.."),
        (lambda h: h["config"].update(rows=7), "rows must be a power of two"),
        (lambda h: h["config"].update(wings=2), "wings"),
    ],
)
def test_strict_header(edit, sentence):
    with pytest.raises(ProgramFileError) as error:
        Program.from_bytes(reseal(make().to_bytes(), edit))
    assert sentence in str(error.value)


def test_bad_instruction_in_a_sealed_file():
    raw = make().to_bytes()
    payload_at = len(raw) - 32 - 64 - 192
    body = raw[:payload_at] + b"\x77" + raw[payload_at + 1 : -32]
    with pytest.raises(ProgramFileError, match="instruction 0: opcode 0x77 is not defined"):
        Program.from_bytes(body + hashlib.sha256(body).digest())


def test_wrong_accelerator_names_both_hashes():
    other = preset("tiny-wide")
    with pytest.raises(Mismatch) as error:
        Program.from_bytes(make().to_bytes(), other)
    assert TINY.hash in str(error.value) and other.hash in str(error.value)
    assert error.value.exit_code == 5
    raw = reseal(make().to_bytes(), lambda h: h.update(config_hash="0" * 16))
    with pytest.raises(Mismatch, match=f"0{{16}}.*{TINY.hash}"):
        Program.from_bytes(raw)
    for version in (0x0200, ISA_VERSION + 1):
        raw = reseal(make().to_bytes(), lambda h, v=version: h.update(isa_version=v))
        said = f"ISA {version >> 8}.{version & 255}, this Weft has 1.{ISA_VERSION & 255}"
        with pytest.raises(Mismatch, match=said):
            Program.from_bytes(raw)
    raw = reseal(make().to_bytes(), lambda h: h.update(isa_version=ISA_VERSION - 1))
    assert Program.from_bytes(raw).isa_version == ISA_VERSION - 1


def test_missing_file():
    with pytest.raises(UsageError, match="cannot read /nowhere/p.weft: No such file"):
        Program.load("/nowhere/p.weft")


def test_a_header_nested_too_deep_is_refused():
    text = b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    body = struct.pack("<8sIIQ", MAGIC, FORMAT_VERSION, len(text), 24 + len(text) + 32) + text
    with pytest.raises(ProgramFileError, match="the header is no JSON: it is nested more"):
        Program.from_bytes(body + hashlib.sha256(body).digest())
