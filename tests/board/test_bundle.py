"""Bundles: every file says the same thing, because all come from the same objects."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from jschon import JSON, JSONSchema, create_catalog

from virtual_boards import ROOT, python_for
from weft import tools
from weft.bundle import Manifest, Overlay, build, virtual
from weft.bundle.reports import finish
from weft.bundle.wrapper import interfaces
from weft.errors import Mismatch, Unsupported, UsageError
from weft.files import bitfile
from weft.results import plain
from weft.synth.vivado import VivadoFailed
from weft_hw.boards import PYNQ_BOARDS, pynq_board
from weft_hw.config import PRESETS, preset
from weft_hw.ip import MODULE, MODULE_VLNV
from weft_hw.registers import REGISTERS
from weft_hw.target import check_target

#: Configuration and clock for each board.
CASES = {
    "pynq-z2": ("tiny-wide", 100),
    "pynq-z1": ("tiny", 100),
    "zcu104": ("tiny", 200),
    "kv260": ("tiny", 300),
    "aup-zu3": ("tiny", 200),
}


@pytest.fixture(scope="module", params=sorted(CASES))
def bundle(request, tmp_path_factory):
    name, clock = CASES[request.param]
    overlay = Overlay(preset(name), pynq_board(request.param), clock)
    folder = tmp_path_factory.mktemp(request.param)
    return overlay, build(overlay, folder, toolchain="none")


def test_manifest_follows_its_schema_and_its_files_are_as_described(bundle):
    _, written = bundle
    schema = json.loads((ROOT / "bitstreams" / "manifest.schema.json").read_text())
    check = JSONSchema(schema, catalog=create_catalog("2020-12"))
    for folder in (written.folder, written.virtual):
        path = next(p for p in folder.glob("weft_*.json") if p.name != "weft_top.json")
        assert check.evaluate(JSON(json.loads(path.read_text()))).valid
        manifest = Manifest.load(path)
        manifest.verify(folder)
        assert plain(manifest) == json.loads(path.read_text())
        more = plain(dataclasses.replace(manifest, untimed=["PS7"]))
        assert check.evaluate(JSON(more)).valid and more["untimed"] == ["PS7"]
    assert "vivado -mode batch -source build.tcl" in written.next_step


def test_the_wrapper_has_the_ports_of_the_core_and_an_interface_each(bundle):
    overlay, written = bundle
    text = (written.folder / "weft_accelerator.v").read_text()
    side = json.loads((written.folder / "weft_top.json").read_text())["ports"]
    for name, port in side.items():
        span = rf"\[{port['width'] - 1}:0\] " if port["width"] > 1 else ""
        assert re.search(rf"^    {port['direction']}put wire {span}{name},?$", text, re.M), name
        assert f".{name}({name})" in text
    assert text.count("X_INTERFACE_INFO") == len(side)
    axi3 = overlay.config.axi_protocol == "axi3"
    assert ("m_axi0_wid" in text) == axi3
    assert f"[{3 if axi3 else 7}:0] m_axi0_arlen" in text
    assert text.count("X_INTERFACE_PARAMETER") == 3 + len(interfaces(overlay))
    assert f'CONFIG_HASH = "{overlay.config.hash}"' in text


@pytest.mark.sim
def test_the_wrapper_elaborates(bundle):
    _, written = bundle
    command = [str(tools.require_simulator() / "bin" / "verilator_bin"), "--lint-only"]
    command += ["-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", MODULE]
    done = subprocess.run(
        [*command, "weft_accelerator.v", "weft_top.v", str(ROOT / "sim" / "models" / "dsp48.v")],
        cwd=written.folder,
        env=tools.simulator_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "%Warning" not in done.stderr, done.stderr


def test_the_core_is_made_of_the_cells_of_the_chip(bundle):
    overlay, written = bundle
    text = (written.folder / "weft_top.v").read_text()
    packing = check_target(overlay.target)
    assert packing is not None and overlay.target == overlay.board.chip.target
    found = re.findall(r"^  (DSP48E\d) ", text, re.MULTILINE)
    # Two columns share a slice; the lanes of the requantisation take more.
    assert set(found) == {packing.primitive}
    assert len(found) >= overlay.config.macs_per_cycle // 2
    assert ('ram_style = "ultra"' in text) == packing.ultra_ram
    assert json.loads((written.folder / "weft_top.json").read_text())["target"] == overlay.target
    assert written.manifest.target == overlay.target
    virtual_manifest = Manifest.load(written.virtual / f"{overlay.name}.json")
    assert virtual_manifest.target == "portable"
    assert virtual_manifest.config.hash == written.manifest.config.hash


def hwh_of(folder: Path, name: str) -> ET.Element:
    return ET.parse(folder / f"{name}.hwh").getroot()


def test_hwh_and_tcl_agree_with_board_and_registers(bundle):
    overlay, written = bundle
    board, tcl = overlay.board, (written.folder / "build.tcl").read_text()
    root = hwh_of(written.folder, overlay.name)
    weft = root.find(f".//MODULE[@MODTYPE='{MODULE}']")
    assert weft is not None and weft.get("VLNV") == MODULE_VLNV
    assert weft.find(".//PARAMETER[@NAME='CONFIG_HASH']").get("VALUE") == overlay.config.hash
    offsets = {
        r.get("NAME"): int(r.find("PROPERTY[@NAME='ADDRESS_OFFSET']").get("VALUE"), 16)
        for r in weft.iter("REGISTER")
    }
    assert offsets == {r.name: r.offset for r in REGISTERS.values()}
    window = root.find(f".//MEMRANGE[@INSTANCE='{weft.get('INSTANCE')}']")
    base, high = (int(window.get(n), 16) for n in ("BASEVALUE", "HIGHVALUE"))
    assert (base, high - base + 1) == (board.system.base_address, board.system.address_range)
    assert window.get("MASTERBUSINTERFACE") == board.system.master
    assert f"-offset 0x{base:08X} -range 0x{high - base + 1:08X}" in tcl
    masters = [b.get("NAME") for b in weft.iter("BUSINTERFACE") if b.get("TYPE") == "MASTER"]
    assert len(masters) == overlay.config.axi_ports == len(overlay.ports)
    for master, port in zip(masters, overlay.ports):
        assert f"$weft/{master}" in tcl and f"$ps/{port}]" in tcl
    assert f"-reference {MODULE} " in tcl and board.chip.part in tcl
    ps = root.find(f".//MODULE[@MODTYPE='{board.system.ip}']")
    values = {p.get("NAME"): p.get("VALUE") for p in ps.iter("PARAMETER")}
    clock = "PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ"
    clock = clock if board.system.zynqmp else "PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ"
    assert float(values[clock]) == pytest.approx(overlay.clock.mhz)
    assert f"FREQMHZ {{{overlay.clock.mhz:g}}}" in tcl


STUBS = """
proc unknown {name args} { error "unknown command $name" }
set ::said {}
foreach name {create_project set_property add_files update_compile_order create_bd_design
    apply_bd_automation connect_bd_net connect_bd_intf_net assign_bd_address validate_bd_design
    save_bd_design make_wrapper launch_runs wait_on_run open_run report_utilization
    report_timing_summary report_power} {
    proc $name args [format {lappend ::said [list %s {*}$args]; return {}} $name]
}
proc create_bd_cell args { return /[lindex $args end] }
proc get_board_parts args { return $::env(BOARD_PARTS) }
proc get_parts args { return [expr {$::env(LACKS) eq "part" ? {} : [lindex $args end]}] }
proc get_ipdefs args { return [expr {$::env(LACKS) eq "IP" ? {} : [lindex $args end]}] }
proc get_bd_pins args { return [lindex $args end] }
proc get_bd_intf_pins args { return [lindex $args end] }
proc get_bd_addr_segs args { return [lindex $args end] }
proc get_files args { return [lindex $args end] }
proc current_project {} { return p }
proc current_fileset {} { return sources_1 }
proc get_runs name { return $name }
proc version args { return 2024.1 }
proc get_property {name object} {
    switch $name {
        PROGRESS { return 100% }
        STATS.WNS { return $::env(WNS) }
        STATS.WHS { return 0.05 }
        VLNV { return $object }
    }
}
set folder vivado/$::env(NAME).runs/impl_1
file mkdir $folder
file copy -force stub.bit $folder/top_wrapper.bit
set folder vivado/$::env(NAME).gen/sources_1/bd/top/hw_handoff
file mkdir $folder
set file [open $folder/top.hwh w]; puts $file "<EDKSYSTEM><MODULES/></EDKSYSTEM>"; close $file
source build.tcl
foreach line $::said { puts $line }
"""


def run_tcl(
    overlay, folder: Path, wns: str, lacks: str = "", board_parts: str = ""
) -> subprocess.CompletedProcess:
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is not installed")
    (folder / "stubs.tcl").write_text(STUBS)
    content = bitfile.Container("top_wrapper", overlay.board.chip.part, bytes(64))
    (folder / "stub.bit").write_bytes(bitfile.encode(content))
    return subprocess.run(
        ["tclsh", "stubs.tcl"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={
            "PATH": "/usr/bin:/bin",
            "WNS": wns,
            "NAME": overlay.name,
            "LACKS": lacks,
            "BOARD_PARTS": board_parts,
        },
    )


def test_the_script_runs_from_end_to_end_on_stub_procedures(bundle, tmp_path):
    overlay, written = bundle
    folder = tmp_path / "bundle"
    shutil.copytree(written.folder, folder)
    done = run_tcl(overlay, folder, "0.10")
    assert done.returncode == 0, done.stderr
    connected = [
        line for line in done.stdout.splitlines() if line.startswith("connect_bd_intf_net")
    ]
    assert len(connected) == 3 + 2 * overlay.config.axi_ports
    assert done.stdout.count("weft: the board files of") == 1
    with_files = run_tcl(overlay, folder, "0.10", board_parts=overlay.board.board_part)
    assert with_files.returncode == 0 and "board files" not in with_files.stdout
    assert f"set_property board_part {overlay.board.board_part} p" in with_files.stdout
    for lacks, what in (("part", overlay.board.chip.part), ("IP", overlay.board.system.ip)):
        stopped = run_tcl(overlay, folder, "0.10", lacks=lacks)
        assert stopped.returncode == 1
        assert f"weft: this Vivado has no {lacks} {what}; add the device" in stopped.stderr
    manifest_before = Manifest.load(folder / f"{overlay.name}.json")
    (folder / "reports" / "utilization.txt").write_text(
        "| CLB LUTs | 1234 | 0 |\n| DSPs | 5 |  |\n"
    )
    assert manifest_before.kind == "sources"
    finished = finish(folder)
    assert finished.kind == "vivado" and finished.timing["wns_ns"] == 0.1
    assert finished.resources == {"lut": 1234.0, "dsp": 5.0}
    finished.verify(folder)


def test_missed_timing_hands_out_no_bitstream(bundle, tmp_path):
    overlay, written = bundle
    folder = tmp_path / "bundle"
    shutil.copytree(written.folder, folder)
    done = run_tcl(overlay, folder, "-0.20")
    assert done.returncode == 1 and "timing is not met" in done.stderr
    assert not (folder / f"{overlay.name}.bit").exists()
    with pytest.raises(UsageError, match="no bitstream yet"):
        finish(folder)


def test_tclint_finds_nothing(bundle):
    _, written = bundle
    program = Path(python_for("zcu104")).with_name("tclint")
    if not program.exists():
        pytest.skip("tclint is not installed; run make pynq")
    command = [str(program), "--style-line-length", "200", "build.tcl", "weft.xdc"]
    done = subprocess.run(command, cwd=written.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_failing_vivado_is_one_error_with_the_end_of_its_log(tmp_path, monkeypatch):
    overlay = Overlay(preset("tiny"), pynq_board("zcu104"), 100)
    program = tmp_path / "vivado"
    program.write_text("#!/bin/sh\necho ERROR: no licence\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(VivadoFailed, match="no licence"):
        build(overlay, tmp_path / "bundle")


@pytest.mark.parametrize(
    "name,board,clock,word",
    [
        ("kv260", "pynq-z2", 100, "128 bits"),
        ("pynq-z2", "zcu104", 100, "AXI3"),
        ("kv260", "aup-zu3", 100, "DSP"),
        ("tiny", "zcu104", 400, "333 MHz"),
    ],
)
def test_what_a_board_cannot_carry_is_refused(name, board, clock, word):
    with pytest.raises(Unsupported, match=word):
        Overlay(preset(name), pynq_board(board), clock)


def test_presets_fit_the_boards_of_their_names():
    for name in set(PRESETS) & set(PYNQ_BOARDS):
        overlay = Overlay(PRESETS[name], PYNQ_BOARDS[name], PRESETS[name].clock_mhz)
        assert re.fullmatch(r"weft_[a-z0-9_]+_[0-9a-f]{8}", overlay.name)


def test_a_virtual_bitstream_comes_back_and_damage_is_seen():
    header = {"board": "zcu104", "config_hash": "0" * 16}
    bit = virtual.encode(header, "x", "part")
    firmware = virtual.swap(bit[bit.index(virtual.MAGIC) :])
    assert virtual.decode(firmware) == header
    for damaged in (b"", b"\xff" * 64, firmware[:60], firmware[:-8], firmware[:50] + b"?" * 60):
        with pytest.raises(ValueError):
            virtual.decode(damaged)


def test_a_changed_manifest_is_refused(tmp_path):
    overlay = Overlay(preset("tiny"), pynq_board("zcu104"), 100)
    from weft.bundle.build import write_virtual

    manifest = write_virtual(overlay, tmp_path)
    path = tmp_path / f"{manifest.name}.json"
    good = json.loads(path.read_text())
    for change in (
        {"config_hash": "0" * 16},
        {"schema": "weft.manifest/9"},
        {"kind": "guess"},
        {"target": "ice40"},
        {"board": "zedboard"},
        {"part": "xc7z020clg400-1"},
        {"files": {"../x": "0" * 64}},
        {"extra": 1},
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(Mismatch, match="build the overlay again"):
            Manifest.load(path)
    path.write_text("no JSON")
    with pytest.raises(Mismatch, match="not JSON"):
        Manifest.load(path)
    path.write_text(json.dumps(good))
    (tmp_path / f"{manifest.name}.bit").write_bytes(b"")
    with pytest.raises(Mismatch, match="SHA-256"):
        Manifest.load(path).verify(tmp_path)
