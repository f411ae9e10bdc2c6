"""Messages between two Pythons: what the other end may say, and what is no message."""

from __future__ import annotations

import io
import json
import struct
import sys
from typing import Any

import numpy as np
import pytest

from weft.backend.pynq.frames import FramedProcess, _Garbled, _receive, _send
from weft.backend.pynq.process import _Known
from weft.errors import DeviceError, ToolMissing, UsageError


def frame(header: Any, data: bytes = b"", *, sizes: tuple[int, int] | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<IQ", *(sizes or (len(text), len(data)))) + text + data


ANSWER = {
    "result": {
        "outputs": {"y": np.arange(6, dtype=np.int32).reshape(2, 3)}, "raw": b"abc", "n": [1, {}]
    }
}


def sent(message: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    _send(stream, message)
    return stream.getvalue()


def test_what_is_sent_is_received():
    found = _receive(io.BytesIO(sent(ANSWER)))["result"]
    assert found["raw"] == b"abc" and found["n"] == [1, {}]
    array = found["outputs"]["y"]
    assert array.dtype == np.int32 and array.tolist() == [[0, 1, 2], [3, 4, 5]]
    array[0, 0] = 7  # its own memory
    with pytest.raises(UsageError, match="not object"):
        _send(io.BytesIO(), {"x": object()})


BAD = {
    "no JSON": (b"{", "delimiter|property name|Expecting"),
    "no object": ([1], "it must be an object"),
    "NaN": (b'{"result": NaN}', "no number of JSON"),
    "deep": (b'{"result": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested more than 64"),
    "pickled": ({"result": {"": ["|O", [1]]}}, "no array has the type"),
    "record": ({"result": {"": ["i4,i4", [1]]}}, "no array has the type"),
    "big endian": ({"result": {"": [">i4", [1]]}}, "no array has the type"),
    "too much": ({"result": {"": ["<i4", [1 << 40]]}}, "bytes, where 0 are left"),
    "negative": ({"result": {"": ["|i1", [-1]]}}, "at least 0"),
    "negative bytes": ({"result": {"": ["bytes", -1]}}, "bytes, where 0 are left"),
    "bool": ({"result": {"": ["|i1", [True]]}}, "must be int"),
    "text": ({"result": {"": "xyz"}}, "an array must be a list"),
    "three": ({"result": {"": ["|i1", [0], 1]}}, "a kind and a shape"),
    "with more": ({"result": {"": ["|i1", [0]], "x": 1}}, "a kind and a shape"),
    "error": ({"error": "no"}, "its error must be an object"),
    "wrong type": ({"result": {"clock_mhz": "1", "virtual": True, "board": "x"}}, "a number"),
    "key": ({"result": {"clock_mhz": 1}}, "check the keys board, virtual"),
    "negative clock": ({"result": {"clock_mhz": -1, "virtual": True, "board": "x"}}, "above 0"),
    "nothing": ({}, "its result must be an object"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer(name):
    header, said = BAD[name]
    with pytest.raises(_Garbled, match=said):
        _receive(io.BytesIO(frame(header)), _Known)


def test_bytes_that_nobody_takes_and_lengths_that_nobody_has():
    with pytest.raises(_Garbled, match="1 bytes are left over"):
        _receive(io.BytesIO(frame({"result": 1}, b"x")))
    for sizes in ((1 << 31, 0), (2, 1 << 60)):
        with pytest.raises(_Garbled, match="are too many"):
            _receive(io.BytesIO(frame({}, sizes=sizes)))
    with pytest.raises(EOFError):
        _receive(io.BytesIO(frame({"result": 1})[:-1]))


@pytest.fixture
def other_end(tmp_path, monkeypatch):
    """A process that answers each request with given bytes."""
    (tmp_path / "other_end.py").write_text(
        "import os, sys\n"
        "sys.stdin.buffer.read(12)\n"
        "sys.stdout.buffer.write(bytes.fromhex(os.environ['ANSWER']))\n"
        "sys.stdout.buffer.flush()\n"
        "sys.stdin.buffer.read()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def answer(data: bytes) -> FramedProcess:
        monkeypatch.setenv("ANSWER", data.hex())
        return FramedProcess(sys.executable, "other_end")

    return answer


def test_nonsense_from_the_other_end_is_one_sentence(other_end):
    with other_end(frame(b"{")) as process:
        with pytest.raises(DeviceError, match="gave no answer to 'open': .*; see its messages"):
            process.ask("open", _Known)
        with pytest.raises((DeviceError, ToolMissing), match="has ended|cannot run"):
            process.ask("open", _Known)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "device", "message": "the board stopped", "remedy": "reset it", "odd": 1},
        {"code": "mismatch", "message": "the board stopped", "odd": [1]},
        {"code": "program-refused", "message": "the board stopped"},
        {"code": "unheard-of", "message": "the board stopped"},
        {"code": 3, "message": "the board stopped", "error_code": {}},
    ],
)
def test_errors_of_any_form_are_errors_of_weft(other_end, error):
    with other_end(frame({"error": error})) as process, pytest.raises(
        DeviceError, match="the board stopped"
    ):
        process.ask("open")
