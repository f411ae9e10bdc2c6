"""Model files: what is written is read, what was changed is refused, nothing runs unseen."""

import hashlib
import json
import random
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

import weft
from small_networks import inputs, net
from weft.artefact import Artefact, HostStep, Port, ProgramStep
from weft.artefact.artefact import bordered
from weft.artefact.file import pack, unpack
from weft.errors import (
    Mismatch,
    ProgramFileError,
    ProgramRefused,
    Unsupported,
    UsageError,
    WeftError,
)
from weft.runtime.compile import compile_model


@pytest.fixture(scope="module")
def compiled():
    """Two programs, a table, an operator of torch between, a border of the host, constants."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
            self.norm = nn.LayerNorm(5)

        def forward(self, x):
            return self.b(self.norm(self.a(x)))

    return compile_model(Model().eval(), inputs(3, 5, 5))


def test_a_saved_model_is_the_model(compiled, tmp_path):
    path = tmp_path / "net.weft"
    compiled.save(path)
    loaded = weft.load(path)
    x = inputs(3, 5, 5, seed=7)
    assert np.array_equal(loaded(x), compiled(x))
    assert len(loaded.programs) == 2 and loaded.artefact.metadata == compiled.artefact.metadata
    assert loaded.artefact.torch_operators == ["aten.layer_norm.default"]
    assert pack(loaded.artefact) == path.read_bytes()
    with pytest.raises(UsageError, match="does not say why"):
        loaded.explain()
    with pytest.raises(Unsupported, match="torch-int takes integer graphs"):
        loaded.open("torch-int")


def test_it_runs_without_torch(tmp_path):
    model = net(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(200, 6),
                nn.Softmax(1))  # fmt: skip
    x = inputs(3, 5, 5, count=2)
    made = compile_model(model, x, host_torch=False)
    made.save(tmp_path / "net.weft")
    np.save(tmp_path / "x.npy", x.numpy())
    script = (
        "import sys; sys.modules['torch'] = sys.modules['amaranth'] = None\n"
        "import numpy as np, weft\n"
        "y = weft.load('net.weft')(np.load('x.npy')); np.save('y.npy', y)\n"
        "assert not any(m.startswith('weft.compiler.f') for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert np.array_equal(np.load(tmp_path / "y.npy"), made(x).numpy())


def test_nothing_is_pickled(compiled):
    raw = pack(compiled.artefact)
    assert b"\x80\x04" not in raw[:64] and raw.startswith(b"WEFTMODL")
    header = json.loads(raw[24 : 24 + struct.unpack_from("<I", raw, 12)[0]])
    assert set(header) == {"inputs", "outputs", "steps", "metadata"}


def changed(raw, change):
    """The file with its header changed, and a digest that is right."""
    size = struct.unpack_from("<I", raw, 12)[0]
    header = json.loads(raw[24 : 24 + size])
    change(header)
    text, payload = json.dumps(header).encode(), raw[24 + size : -32]
    total = 24 + len(text) + len(payload) + 32
    body = struct.pack("<8sIIQ", b"WEFTMODL", 1, len(text), total) + text + payload
    return body + hashlib.sha256(body).digest()


def host(header):
    return next(s for s in header["steps"] if s.get("op", "").startswith("aten."))


def program(header):
    return next(s for s in header["steps"] if "program" in s)


CHANGES = {
    "no operator": (lambda h: host(h).update(op="aten.from_file.default"), "has no operator"),
    "not a name": (lambda h: host(h).update(op=["x"]), "step op must be str"),
    "another key": (lambda h: host(h).update(more=1), "must have exactly"),
    "reads ahead": (lambda h: host(h).update(inputs=["nothing"]), "before it is computed"),
    "computed twice": (lambda h: host(h).update(output=h["inputs"][0]["value"]), "computed twice"),
    "no output": (lambda h: h["outputs"][0].update(value="nothing"), "is not computed"),
    "a path": (lambda h: h["outputs"][0].update(name="../../x"), "must be a name"),
    "a batch": (lambda h: h["inputs"][0].update(shape=[2, 3, 5, 5]), "not that of one example"),
    "no steps": (lambda h: h.update(steps=[]), "no step|need 0"),
    "more bytes": (lambda h: program(h).update(program=1 << 40), "its parts need more"),
    "less than nothing": (lambda h: program(h).update(program=-1), "its parts need more"),
    "another tensor": (lambda h: program(h).update(inputs={"x": "x"}), "inputs are not those"),
    "a border": (lambda h: program(h).update(borders={"input0": [9, 9, 9, 9, 0]}), "is no border"),
    "half a border": (lambda h: program(h).update(borders={"input0": [1]}), "five ints"),
    "a dtype": (lambda h: next(iter(host(h)["constants"].values())).__setitem__(0, "object"),
                "must be .dtype, shape, bytes."),
    "a shape": (lambda h: next(iter(host(h)["constants"].values())).__setitem__(1, [1 << 62]),
                "bytes, and elements"),
    "no list": (lambda h: h.update(steps={}), "header steps must be list"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_a_header_that_breaks_a_rule_is_refused(compiled, tmp_path, case):
    change, words = CHANGES[case]
    path = tmp_path / "net.weft"
    path.write_bytes(changed(pack(compiled.artefact), change))
    with pytest.raises(ProgramFileError, match=words):
        weft.load(path)


def test_reals_do_not_reach_a_program(compiled):
    """A step of a crafted file may name a value of the host's as a program's input."""
    step = next(s for s in compiled.artefact.steps if isinstance(s, ProgramStep))
    (tensor,) = step.inputs
    step = replace(step, borders={tensor: (1, 0, 0, 1, 7)})
    for x in (np.zeros((5, 5, 3), np.float32), np.zeros((75,), np.int8)):
        with pytest.raises(UsageError, match=f"input '{tensor}' is no int8 map"):
            bordered(x, step, tensor)
    got = bordered(np.ones((2, 2, 3), np.int8), step, tensor)
    assert got.shape == (3, 3, 3) and got.sum() == 12 + 7 * 15


def test_a_program_that_does_not_verify_is_refused(compiled, tmp_path):
    """A digest says that a file is whole, and not that its program is right."""
    import dataclasses

    step = next(s for s in compiled.artefact.steps if isinstance(s, ProgramStep))
    code = list(step.program.instructions)
    at = next(i for i, one in enumerate(code) if one.waits)
    code[at] = dataclasses.replace(code[at], waits=())
    bad = dataclasses.replace(step, program=dataclasses.replace(step.program, instructions=code))
    steps = tuple(bad if s is step else s for s in compiled.artefact.steps)
    dataclasses.replace(compiled.artefact, steps=steps).save(tmp_path / "net.weft")
    with pytest.raises(ProgramRefused):
        weft.load(tmp_path / "net.weft")


def test_random_damage_is_refused(compiled, tmp_path):
    raw, choose = pack(compiled.artefact), random.Random(3)
    for _ in range(200):
        data = bytearray(raw)
        if choose.random() < 0.3:
            data = data[: choose.randrange(len(data))]
        else:
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        with pytest.raises((ProgramFileError, Mismatch)):
            unpack(bytes(data), "net.weft")


def test_random_headers_end_in_a_sentence(compiled):
    """Whatever stands in the place of a value, an error of Weft, or a model, comes out."""
    raw, choose = pack(compiled.artefact), random.Random(4)
    values = [None, -1, 1 << 70, 1.5, "x", "", [], {}, [[]], True, "aten.relu.default"]

    def spoil(node):
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = choose.choice(list(keys))
        if isinstance(node[key], (dict, list)) and node[key] and choose.random() < 0.8:
            spoil(node[key])
        else:
            node[key] = choose.choice(values)

    refused = 0
    for _ in range(300):
        try:
            unpack(changed(raw, spoil), "net.weft")
        except WeftError:
            refused += 1
    assert refused > 150


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        weft.load(tmp_path / "none.weft")
    (tmp_path / "x.weft").write_bytes(b"PK\x03\x04 some zip")
    with pytest.raises(ProgramFileError, match="is not a Weft model"):
        weft.load(tmp_path / "x.weft")


PORT = (Port("x", "x", (1, 4)),)


@pytest.mark.parametrize(
    ("steps", "outputs", "words"),
    [
        ((), PORT, "no step"),
        ((HostStep("a", "tanh", ("x",), "y"),), (), "an input and an output"),
        ((HostStep("a", "tanh", ("x",), "y"),), (Port("x", "y", (1, 4)),), "have one name"),
        ((HostStep("a", "tanh", ("x",), "y", {}, {"c": np.zeros(2, complex)}),),
         (Port("y", "y", (1, 4)),), "is complex128"),
    ],
)  # fmt: skip
def test_rules(steps, outputs, words):
    with pytest.raises(UsageError, match=words):
        Artefact(steps, PORT, outputs)


def test_the_program_in_a_file(compiled, tmp_path):
    """A program file, and a model file of one program, are as good for a board."""
    from weft.artefact.loading import is_model, single_program

    one = compile_model(net(nn.Linear(4, 3)), inputs(4))
    one.save(tmp_path / "one.weft")
    one.program.save(tmp_path / "program.weft")
    assert is_model(tmp_path / "one.weft") and not is_model(tmp_path / "program.weft")
    for name in ("one.weft", "program.weft"):
        assert single_program(tmp_path / name).digest == one.program.digest
    compiled.save(tmp_path / "two.weft")
    with pytest.raises(UsageError, match="is a model of 2 programs, and one is deployed"):
        single_program(tmp_path / "two.weft")
    with pytest.raises(UsageError, match="cannot read"):
        single_program(tmp_path / "none.weft")


def test_a_board_runs_a_model_itself(tmp_path, monkeypatch, capsys):
    """``weft.deploy.onboard run``, with the emulator in the place of the board's driver."""
    from weft.backend.emulator import EmulatorBackend
    from weft.backend.pynq import backend as pynq
    from weft.deploy.onboard import main

    one = compile_model(net(nn.Linear(4, 3)), inputs(4), host_torch=False)
    one.save(tmp_path / "one.weft")
    np.save(tmp_path / "x.npy", inputs(4).numpy())

    class Board(EmulatorBackend):
        clock_mhz = 100.0

        def __init__(self, overlay):
            super().__init__(one.artefact.config)

    monkeypatch.setattr(pynq, "PynqBackend", Board)
    arguments = ["run", "x.bit", str(tmp_path / "one.weft"), "--output", str(tmp_path)]
    assert main([*arguments, "--input", str(tmp_path / "x.npy")]) == 0
    (path,) = json.loads(capsys.readouterr().out)["outputs"]
    assert np.array_equal(np.load(path), one(inputs(4)).numpy())
    assert main([*arguments, "--input", f"y={tmp_path / 'x.npy'}"]) == 2
    assert "has the inputs input" in capsys.readouterr().out
