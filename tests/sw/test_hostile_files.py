"""Files that were damaged, or made to harm: one sentence each, or a file that is as good as it was.

Every format that Weft reads gets the same treatment: good files whose bytes, or whose values, were
changed, with their digests made right again, so that what lies behind them is reached. Any
exception but Weft's own, and more than LIMIT bytes of memory, fails. ``WEFT_HOSTILE_FILES`` sets
how many of each format; ``make sim-full`` tries 20,000.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
import struct
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutate import changed_bytes, changed_json
from program_strategies import seeded
from weft.artefact import Artefact, HostStep, Port, ProgramStep
from weft.artefact.file import pack, unpack
from weft.backend.pynq.frames import _Garbled, _receive, _send
from weft.backend.pynq.identity import BoardFacts
from weft.bundle import Overlay, virtual
from weft.bundle.build import write_virtual
from weft.bundle.content import check_content
from weft.bundle.manifest import Manifest, verified
from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.requant import Requant
from weft.compiler.lower.program import compile_graph
from weft.deploy.over_ssh import Probed, _on_board
from weft.errors import WeftError
from weft.files import bitfile
from weft.models.sentence import read_texts
from weft.models.vectors import require_embedded
from weft.program import Program
from weft.program.asm import assemble, disassemble
from weft.program.npy import parse_npy
from weft.verify import verify
from weft_hw.boards import pynq_board
from weft_hw.config import preset

NUMBER = int(os.environ.get("WEFT_HOSTILE_FILES", "300"))
SEED = int(os.environ.get("WEFT_HOSTILE_SEED", "1"))
#: Memory that reading one of these files, of some KiB, may take on top of what is taken.
LIMIT = 2 << 30
TINY = preset("tiny")
Rng = np.random.Generator


@dataclass(frozen=True)
class Format:
    """make : a hostile file. read : what is tried. refusals : besides WeftError, inside Weft."""

    make: Callable[[Rng], Any]
    read: Callable[[Any], object]
    refusals: tuple[type[Exception], ...] = ()


def _bytes_of(good: bytes) -> Callable[[Rng], bytes]:
    return lambda rng: changed_bytes(good, rng)


def _json_of(good: Any) -> Callable[[Rng], bytes]:
    """Of its values mostly, of its text now and then."""

    def make(rng: Rng) -> bytes:
        if rng.integers(4) == 0:
            return changed_bytes(json.dumps(good).encode(), rng)
        return json.dumps(changed_json(good, rng)).encode()

    return make


def _sealed(header: Any, payload: bytes, version: int, magic: bytes = b"WEFTPROG") -> bytes:
    """A program file of any header, or a model file, with the digest of its content."""
    text = json.dumps(header).encode()
    total = 24 + len(text) + len(payload) + 32
    body = struct.pack("<8sIIQ", magic, version, len(text), total) + text + payload
    return body + hashlib.sha256(body).digest()


def _program(rng: Rng) -> bytes:
    raw = seeded(int(rng.integers(200)), TINY).to_bytes()
    _, version, size, _ = struct.unpack_from("<8sIIQ", raw)
    header, payload = json.loads(raw[24 : 24 + size]), raw[24 + size : -32]
    match int(rng.integers(4)):
        case 0:
            return changed_bytes(raw, rng)
        case 1:
            code = 64 * header["instructions"]
            payload = changed_bytes(payload[:code], rng)[:code].ljust(code, b"\0") + payload[code:]
            return _sealed(header, payload, version)
        case _:
            return _sealed(changed_json(header, rng), payload, version)


def _read_program(data: bytes) -> None:
    program = Program.from_bytes(data)
    verify(program)
    disassemble(program.instructions)


@cache
def _good_model() -> bytes:
    """A program between two steps of the host, with constants, and one that torch computes."""
    rng = np.random.default_rng(1)
    weights, bias = rng.integers(-9, 9, (16, 8), np.int8), np.zeros(8, np.int32)
    by = Requant(np.full(8, 1 << 12), np.full(8, 20))
    program = compile_graph(linear_layer("l", weights, bias, by, rows=1), TINY)
    scale = {"step": 0.1, "zero_point": 3}
    steps = (
        HostStep("q", "quantise", ("x",), "a", {**scale, "low": -128, "high": 127}),
        ProgramStep(program, {"a": "a"}, {"b": "out"}),
        HostStep("d", "dequantise", ("b",), "y", {**scale, "shape": [1, 8]}),
        HostStep("f", "linear", ("y",), "z", {}, {"weights": np.ones((3, 8), np.float32)}),
        HostStep("t", "aten.cumsum.default", ("z",), "o",
                 {"arguments": {"self": {"value": 0}, "dim": 1}}),
    )  # fmt: skip
    ports = (Port("x", "x", (1, 16)),), (Port("o", "o", (1, 3)),)
    return pack(Artefact(steps, *ports, metadata={"pixels": [0, 255]}))


def _model(rng: Rng) -> bytes:
    raw = _good_model()
    _, version, size, _ = struct.unpack_from("<8sIIQ", raw)
    header, payload = json.loads(raw[24 : 24 + size]), raw[24 + size : -32]
    match int(rng.integers(4)):
        case 0:
            return changed_bytes(raw, rng)
        case 1:
            return _sealed(header, changed_bytes(payload, rng), version, b"WEFTMODL")
        case _:
            return _sealed(changed_json(header, rng), payload, version, b"WEFTMODL")


def _read_model(data: bytes) -> None:
    artefact = unpack(data, "net.weft")
    for program in artefact.programs:
        verify(program)
    assert artefact.pixels is None or len(artefact.pixels) == 2
    assert unpack(pack(artefact), "again").inputs == artefact.inputs


def _formats(folder: Path) -> dict[str, Format]:
    """Every format that Weft reads; `folder` is for files on the way."""
    stream = io.BytesIO()
    np.save(stream, np.arange(12, dtype=np.int8).reshape(3, 4))
    message = io.BytesIO()
    outputs = {"y": np.zeros((2, 3), np.int32)}
    _send(message, {"result": {"outputs": outputs, "n": [1, {"a": b"b"}]}})
    overlay = write_virtual(Overlay(TINY, pynq_board("zcu104"), 100), folder / "overlay")
    place = folder / "overlay" / overlay.name
    said = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
    bit = place.with_suffix(".bit").read_bytes()
    description = place.with_suffix(".hwh").read_bytes()
    firmware = virtual.swap(bitfile.parse(bit).payload)
    texts, vectors = b"one\ntwo\n", stream.getvalue()
    origin = {"vectors": hashlib.sha256(vectors).hexdigest(), "texts": "0" * 64}
    report = {
        "results": [
            {
                "what": "p", "cycles": 5, "seconds": 0.1, "accesses": 3, "accelerator_ms": 0.1,
                "board": "ZCU104", "label": "measured", "clock_mhz": 100.0,
            }
        ]
    }  # fmt: skip

    def file(name: str, data: bytes) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    def read_manifest(data: bytes) -> None:
        file(f"overlay/{place.name}.json", data)
        try:
            verified(place.with_suffix(".bit"))
        finally:
            Manifest.save(overlay, folder / "overlay")

    def read_side(data: bytes) -> None:
        file("v.npy.json", data)
        require_embedded(file("v.npy", vectors), 2, folder / "texts", texts, 2)

    def read_answer(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        said = types.SimpleNamespace(stdout=text, stderr="", returncode=0)
        board = types.SimpleNamespace(run=lambda *_: said, host="192.0.2.1", user="root")
        there = Probed(BoardFacts("ZCU104", "", False), "/home/xilinx/weft", True, 1 << 30)
        _on_board(board, there, "x.sh")

    return {
        "program": Format(_program, _read_program),
        "model": Format(_model, _read_model),
        "assembly": Format(
            _bytes_of(disassemble(seeded(3, TINY).instructions).encode()),
            lambda data: list(assemble(data.decode("utf-8", "replace"))),
        ),
        "manifest": Format(_json_of(said), read_manifest),
        "bitstream": Format(_bytes_of(bit), lambda data: check_content(file("x.bit", data))),
        "description": Format(_bytes_of(description), lambda d: check_content(file("x.hwh", d))),
        "firmware": Format(_bytes_of(firmware), virtual.decode, (ValueError,)),
        "array": Format(_bytes_of(vectors), parse_npy, (ValueError,)),
        "texts": Format(_bytes_of("früh\none two\n三 个\n".encode()), lambda d: read_texts(d, "x")),
        "digests of vectors": Format(_json_of(origin), read_side),
        "messages": Format(
            _bytes_of(message.getvalue()), lambda d: _receive(io.BytesIO(d)), (_Garbled, EOFError)
        ),
        "answers over ssh": Format(_json_of(report), read_answer),
    }


NAMES = (
    "program", "model", "assembly", "manifest", "bitstream", "description", "firmware", "array",
    "texts",
    "digests of vectors", "messages", "answers over ssh",
)  # fmt: skip


@pytest.fixture(scope="module")
def formats(tmp_path_factory) -> dict[str, Format]:
    return _formats(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def little_memory():
    """No more than LIMIT on top of what the process has."""
    with open("/proc/self/statm", encoding="utf-8") as file:
        there = int(file.read().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (there + LIMIT, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


def test_all_formats_are_tried(formats):
    assert tuple(formats) == NAMES


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_hostile_files_are_refused_in_a_sentence(formats, little_memory, name):
    format = formats[name]
    read = refused = 0
    for number in range(NUMBER):
        data = format.make(np.random.default_rng([SEED, NAMES.index(name), number]))
        try:
            format.read(data)
            read += 1
        except (WeftError, *format.refusals) as error:
            assert str(error) or isinstance(error, EOFError)
            refused += 1
        except BaseException as error:
            kept = Path(f"hostile-{name.replace(' ', '-')}-{number}")
            with contextlib.suppress(OSError):
                kept.write_bytes(data)
            raise AssertionError(f"{name} {SEED}/{number}, kept as {kept}: {error!r}") from error
    print(f"{name}: {read} read, {refused} refused")
    assert refused > NUMBER // 10
