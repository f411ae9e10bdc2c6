"""Overlays of the open tools on a virtual board, and overlays found by name, with the real pynq."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess

import pytest

from virtual_boards import ROOT, environment
from weft.bundle import Manifest
from weft.files import bitfile

LOAD = """
import sys; sys.path.insert(0, "tests/support")
from board_script import open_board, product, same
from pynq import MMIO
from weft.backend.pynq.backend import PynqBackend
from weft.backend.pynq.load import connect
from weft.backend.pynq.zynq7 import AFI, SLCR
device = connect(sys.argv[1])
word = lambda base, offset: MMIO(base, 4096, device=device).read(offset) & 0xFFFFFFFF
def put(base, offset, value):
    MMIO(base, 4096, device=device).write(offset, value)
for base in AFI:
    put(base, 0x00, 0x3)
    put(base, 0x14, 0xF01)
put(SLCR, 0x00C, 1)
put(SLCR, 0x240, 0xF)
with open_board() as board:
    board.load(product(board.config))
    same(board, board.program, 1)
print([hex(word(base, offset)) for base in AFI for offset in (0x00, 0x14)])
print(hex(word(SLCR, 0x008)), hex(word(SLCR, 0x900)), hex(word(SLCR, 0x240)))
"""


@pytest.mark.parametrize("served", ["pynq-z2"], indirect=True)
def test_the_driver_sets_up_what_no_boot_loader_did(served, tmp_path):
    for file in served.bitstream.parent.glob(f"{served.bitstream.stem}.*"):
        shutil.copy(file, tmp_path)
    manifest = Manifest.load(tmp_path / f"{served.bitstream.stem}.json")
    dataclasses.replace(manifest, kind="open").save(tmp_path)
    opened = dataclasses.replace(served, bitstream=tmp_path / served.bitstream.name)
    done = opened.run(LOAD)
    assert done.returncode == 0, done.stderr
    widths, slcr = done.stdout.splitlines()
    # HP0 and HP2 carry the two masters: bit 0 is cleared there, nothing else changes.
    assert widths == str(["0x2", "0xf00", "0x3", "0xf01"] * 2)
    assert slcr == "0xdf0d 0xf 0xe"
    plain = served.run(LOAD)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.splitlines()[0] == str(["0x3", "0xf01"] * 4)


FIND = """
import sys
from weft.backend.pynq.load import connect
device = connect(sys.argv[1])
import pynq
overlay = pynq.Overlay(sys.argv[3], download=False, device=device)
print(overlay.bitfile_name)
overlay.clock_dict = {}
overlay.download()
print(overlay.is_loaded(), hex(overlay.weft_0.get("id")))
"""


def test_an_added_overlay_is_found_by_its_name_from_any_directory(served, tmp_path):
    env = {**environment(), "WEFT_BITSTREAMS": str(tmp_path / "overlays")}
    add = ["-m", "weft", "bitstreams", "add", str(served.bitstream.parent)]
    done = subprocess.run([served.python, *add], env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    name = served.bitstream.name
    command = [served.python, "-c", FIND, served.host, "", name]
    done = subprocess.run(command, env=env, cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    place, loaded = done.stdout.splitlines()
    assert place == os.path.join(tmp_path, "overlays", served.bitstream.stem, name)
    assert loaded == "True 0x57454654"


HEADER = """
import json, sys
from pynq.pl_server.embedded_device import bit2bin, parse_bit_header
data = open(sys.argv[2], "rb").read()
found = parse_bit_header(data)
print(json.dumps([found["design"], found["part"], found["date"], found["time"]]))
print(bit2bin(data).hex())
"""


def test_pynq_reads_a_container_as_we_do(served, tmp_path):
    content = bitfile.Container(
        "x.frames;Generator=xc7frames2bit", "xc7z020clg400-1", bytes(range(64)), "2026/11/25"
    )
    path = tmp_path / "x.bit"
    path.write_bytes(bitfile.encode(content))
    assert bitfile.parse(path.read_bytes()) == content
    done = subprocess.run(
        [served.python, "-c", HEADER, "", str(path)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    fields, payload = done.stdout.splitlines()
    assert fields == '["x.frames", "xc7z020clg400-1", "2026/11/25", "00:00:00"]'
    swapped = b"".join(content.payload[i : i + 4][::-1] for i in range(0, 64, 4))
    assert payload == swapped.hex()
