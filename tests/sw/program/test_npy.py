"""Arrays from files of strangers."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from weft.errors import UsageError
from weft.program.npy import parse_npy, read_npy, write_npy, write_outputs


def content(array, **how):
    data = io.BytesIO()
    np.save(data, array, **how)
    return data.getvalue()


def with_header(text, payload=b"", version=(1, 0)):
    raw = text.encode("latin1")
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(raw)) + raw + payload


@pytest.mark.parametrize("array", [
    np.arange(12, dtype=np.int8).reshape(3, 4), np.zeros((0, 4), np.float32),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(3, np.int32), np.ones(3, ">f8"),
], ids=str)
def test_arrays_come_back(array, tmp_path):
    assert np.array_equal(parse_npy(content(array)), array)
    write_npy(tmp_path / "a.npy", array)
    assert np.array_equal(read_npy(tmp_path / "a.npy"), array)


HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}\n"
HOSTILE = {
    "empty": b"",
    "magic only": b"\x93NUMPY",
    "text": b"1,2,3\n",
    "zip": b"PK\x03\x04" + bytes(40),
    "cut": content(np.arange(100))[:-1],
    "more": content(np.arange(100)) + b"x",
    "objects": content(np.array([{}], object), allow_pickle=True),
    "strings": content(np.array(["a", "b"])),
    "records": content(np.zeros(2, [("a", "i4"), ("b", "f4")])),
    "complex": content(np.ones(2, complex)),
    "dates": content(np.array(["2026-01-01"], "M8[D]")),
    "huge": with_header(HEADER.format("'|i1'", (1 << 60, 1 << 60))),
    "negative": with_header(HEADER.format("'|i1'", (-1,))),
    "floats as shape": with_header(HEADER.format("'|i1'", (1.5,))),
    "no tuple": with_header(HEADER.format("'|i1'", "3")),
    "no type": with_header(HEADER.format("'nonsense'", (1,))),
    "type is code": with_header(HEADER.format("__import__('os')", (1,))),
    "nested": with_header("(" * 9000),
    "long": with_header("{" + " " * 20_000 + "}"),
    "version 9": with_header(HEADER.format("'|i1'", (1,)), b"1", (9, 9)),
    "header beyond end": b"\x93NUMPY\x01\x00\xff\xff{",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_other_files_are_refused_in_a_sentence(name, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(UsageError, match=r"cannot read .*x\.npy: .+; name a \.npy file"):
        read_npy(path)


def test_every_cut_and_many_changes_are_refused_or_read():
    good, rng = content(np.arange(20, dtype=np.int16)), np.random.default_rng(0)
    for end in range(len(good)):
        with pytest.raises(ValueError, match=r"."):
            parse_npy(good[:end])
    for _ in range(500):
        raw = bytearray(good)
        for at in rng.integers(0, len(raw), 3):
            raw[at] = rng.integers(256)
        try:
            assert parse_npy(bytes(raw)).nbytes <= len(raw)
        except ValueError:
            continue


def test_a_name_of_an_output_stays_in_its_folder(tmp_path):
    arrays = {"../x": np.zeros(1, np.int8)}
    with pytest.raises(UsageError, match="an output must be a name"):
        write_outputs(arrays, tmp_path / "out")
    assert not (tmp_path / "x.npy").exists()
