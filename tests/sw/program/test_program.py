"""Program files: round trip, refusals, tensors in the arena."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct

import numpy as np
import pytest

from weft.errors import Mismatch, ProgramFileError, UsageError
from weft.program import FORMAT_VERSION, MAGIC, Program, TensorSpec
from weft_hw.config import preset
from weft_hw.isa import Instruction, Opcode

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
        "inputs": [TensorSpec("x", "int8", (3, 7), 4096, 16)],
        "outputs": [TensorSpec("y", "int32", (3, 4), 8192, 32)],
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
    program.write_input(image, "x", x)
    assert (image[4096:4103].view(np.int8) == x[0]).all()
    assert (image[4112:4119].view(np.int8) == x[1]).all()
    assert (image[4103:4112] == 0xAA).all(), "padding stays"
    y = np.array([[1, -2, 3, 2**31 - 1]] * 3, "<i4")
    for row in range(3):
        image[8192 + 32 * row : 8208 + 32 * row] = y[row].view(np.uint8)
    out = program.read_output(image, "y")
    assert out.dtype == np.int32 and (out == y).all()


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("x", np.zeros((3, 7), np.int16), "input 'x' must be int8 [3, 7], not int16 [3, 7]"),
        ("x", np.zeros((7, 3), np.int8), "input 'x' must be int8 [3, 7], not int8 [7, 3]"),
        ("z", np.zeros((3, 7), np.int8), "the program has no input 'z'; its inputs are: x"),
    ],
)
def test_wrong_inputs(name, array, sentence):
    program = make()
    with pytest.raises(UsageError) as error:
        program.write_input(program.image(), name, array)
    assert str(error.value) == sentence


def test_short_arena():
    with pytest.raises(UsageError, match=r"the arena must be uint8 \[>= 8272\]"):
        make().read_output(np.zeros(100, np.uint8), "y")


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
        ({"outputs": [TensorSpec("x", "int8", (1, 1), 8192, 16)]},
         "program: 'x' is both an input and an output"),
        ({"inputs": [TensorSpec("a", "int8", (1, 1), 8192, 16)] * 2},
         "program: two inputs are named 'a'"),
    ],
)  # fmt: skip
def test_refusals(change, sentence):
    with pytest.raises(UsageError) as error:
        make(**change)
    assert str(error.value) == sentence


def test_interleaved_tensors_are_fine():
    make(outputs=[TensorSpec("y", "int8", (3, 16), 8192, 32),
                  TensorSpec("z", "int8", (3, 16), 8208, 32)])  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dtype": "float32"}, "dtype must be one of int8, int16, int32, not 'float32'"),
        ({"shape": (0, 1)}, "shape must be two positive ints (rows, cols), not (0, 1)"),
        ({"offset": 8}, "offset must be a multiple of 16, not 8"),
        ({"pitch": 1 << 70}, f"pitch must be below 2**32, not {1 << 70}"),
        ({"pitch": 0}, "pitch must be at least the 4 bytes of a row, not 0"),
    ],
)
def test_bad_specs(change, sentence):
    base = TensorSpec("t", "int8", (2, 4), 0, 16)
    with pytest.raises(UsageError) as error:
        dataclasses.replace(base, **change)
    assert str(error.value) == f"tensor 't': {sentence}"


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
    with pytest.raises(ProgramFileError, match="has format version 9, this Weft reads version 1"):
        Program.from_bytes(raw[:8] + struct.pack("<I", 9) + raw[12:])
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
        (lambda h: h["inputs"][0].update(shape=[3]), "shape must be two positive ints"),
        (lambda h: h["inputs"].append(4), "a tensor must be an object, not 4"),
        (lambda h: h["inputs"][0].update(offset=1 << 40), "beyond the arena"),
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
    payload_at = len(raw) - 32 - 51 - 192
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
    raw = reseal(make().to_bytes(), lambda h: h.update(isa_version=0x0200))
    with pytest.raises(Mismatch, match="ISA 2.0, this Weft has 1.0"):
        Program.from_bytes(raw)


def test_missing_file():
    with pytest.raises(UsageError, match="cannot read /nowhere/p.weft: No such file"):
        Program.load("/nowhere/p.weft")


def test_a_header_nested_too_deep_is_refused():
    text = b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    body = struct.pack("<8sIIQ", MAGIC, FORMAT_VERSION, len(text), 24 + len(text) + 32) + text
    with pytest.raises(ProgramFileError, match="has a header that is not a JSON object"):
        Program.from_bytes(body + hashlib.sha256(body).digest())
