"""``weft bitstreams`` and what refuses to be built: one sentence each, and the exit code."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import pytest

from weft.bundle import Overlay
from weft.bundle.build import write_virtual
from weft.bundle.manifest import verified
from weft.cli import main
from weft.errors import Mismatch, Unsupported
from weft.results import plain
from weft.synth.fit import check_fit
from weft_hw.boards import PYNQ_BOARDS, pynq_board
from weft_hw.config import PRESETS, preset

NATURAL = {
    "pynq-z2": preset("pynq-z2"),
    "pynq-z1": preset("pynq-z2"),
    "zcu104": preset("zcu104"),
    "kv260": preset("kv260"),
    "aup-zu3": preset("pynq-z2").replace(axi_protocol="axi4"),
}


@pytest.fixture
def weft(capsys, monkeypatch, tmp_path):
    """Run a command: (exit code, stdout, stderr)."""
    monkeypatch.setenv("WEFT_BITSTREAMS", str(tmp_path / "overlays"))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def overlay(tmp_path):
    """Folder and manifest of an overlay that is whole."""
    found = Overlay(preset("tiny"), pynq_board("zcu104"), 100)
    folder = tmp_path / "bundle"
    return folder, write_virtual(found, folder)


def test_add_list_verify(weft, overlay, tmp_path):
    folder, manifest = overlay
    assert weft("bitstreams", "list")[0] == 0
    for _ in range(2):  # the second replaces the first
        code, out, _ = weft("bitstreams", "add", folder)
        assert code == 0 and manifest.name in out
    place = tmp_path / "overlays" / manifest.name
    assert {p.name for p in place.iterdir()} == {*manifest.files, f"{manifest.name}.json"}
    assert [p.name for p in place.parent.iterdir()] == [manifest.name]
    code, out, _ = weft("bitstreams", "list", "--json")
    assert code == 0 and json.loads(out)["results"] == [plain(manifest)]
    assert weft("bitstreams", "verify")[1].startswith("1 overlays")
    assert weft("bitstreams", "verify", "--folder", folder)[1].startswith("1 overlays")


def change_manifest(**changes):
    def change(folder, name):
        path = folder / f"{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def tampered(folder, name):
    data = bytearray((folder / f"{name}.bit").read_bytes())
    data[-1] ^= 1
    (folder / f"{name}.bit").write_bytes(data)


def with_its_digest(suffix, change):
    """A changed file, and a manifest that says so: whoever built it, it is no such file."""

    def fault(folder, name):
        path, manifest = folder / f"{name}{suffix}", folder / f"{name}.json"
        path.write_bytes(change(path.read_bytes()))
        said = json.loads(manifest.read_text())
        said["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(said))

    return fault


ENTITIES = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><EDKSYSTEM>&c;</EDKSYSTEM>'
DAMAGED = [
    (".bit", lambda data: b"", "its header is not that of a .bit"),
    (".bit", lambda data: data[:40], "is missing at byte"),
    (".bit", lambda data: data[:-4], "its header says"),
    (".hwh", lambda data: b"", "it is not XML"),
    (".hwh", lambda data: data[: len(data) // 2], "it is not XML"),
    (".hwh", lambda data: b"\xff\xfe" + data, "it is not XML|document type"),
    (".hwh", lambda data: b"<html/>", "its root is html"),
    (".hwh", lambda data: b"<EDKSYSTEM/>", "it lists no modules"),
    (".hwh", lambda data: ENTITIES, "document type"),
    (".hwh", lambda data: b"<a>" * 100_000, "it is not XML"),
]


@pytest.mark.parametrize(("suffix", "change", "word"), DAMAGED)
def test_damaged_files_with_matching_digests_are_refused(weft, overlay, suffix, change, word):
    folder, manifest = overlay
    with_its_digest(suffix, change)(folder, manifest.name)
    for arguments in (("add", folder), ("verify", "--folder", folder)):
        code, _, err = weft("bitstreams", *arguments)
        assert code == 5 and re.search(word, err) and err.count("\n") == 1, err


def test_a_bitstream_of_which_the_manifest_says_nothing_is_refused(overlay, tmp_path):
    folder, manifest = overlay
    path = folder / f"{manifest.name}.json"
    said = json.loads(path.read_text())
    del said["files"][f"{manifest.name}.bit"]
    path.write_text(json.dumps(said))
    with pytest.raises(Mismatch, match=f"says nothing of {manifest.name}.bit"):
        verified(folder / f"{manifest.name}.bit")


FAULTS = [
    (tampered, 5, "is not the file that its manifest describes"),
    (lambda folder, name: (folder / f"{name}.hwh").unlink(), 5, "is missing"),
    (change_manifest(schema="weft.manifest/9"), 5, "the schema must be weft.manifest/1"),
    (change_manifest(config_hash="0" * 16), 5, "config_hash is 0000000000000000"),
    (change_manifest(kind="guess"), 5, "kind must be one of"),
    (change_manifest(target="ice40"), 5, "target must be one of"),
    (change_manifest(files={"../up": "0" * 64}), 5, "a file must be a name"),
    (lambda folder, name: (folder / f"{name}.json").write_text("{"), 5, "is not JSON"),
    (lambda folder, name: (folder / f"{name}.json").write_text("[]"), 5, "must be an object"),
]


@pytest.mark.parametrize(("fault", "code", "word"), FAULTS)
@pytest.mark.parametrize("command", ["add", "verify"])
def test_what_is_not_whole_is_refused_and_the_good_one_stays(
    weft, overlay, tmp_path, fault, code, word, command
):
    folder, manifest = overlay
    assert weft("bitstreams", "add", folder)[0] == 0
    fault(folder, manifest.name)
    where = (folder,) if command == "add" else ("--folder", folder)
    got, _, err = weft("bitstreams", command, *where)
    assert got == code and word in err and err.count("\n") == 1, err
    assert weft("bitstreams", "verify")[0] == 0


def test_folders_that_hold_nothing(weft, overlay, tmp_path):
    folder, manifest = overlay
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(folder / f"{manifest.name}.json", folder / "weft_other.json")
    for arguments, word in (
        (("add", tmp_path / "nowhere"), "there is no folder"),
        (("add", empty), "holds no bundle"),
        (("add", folder), "holds several bundles"),
        (("list", "--folder", tmp_path / "nowhere"), "there is no folder"),
    ):
        code, _, err = weft("bitstreams", *arguments)
        assert code == 2 and word in err and err.count("\n") == 1, err
    (tmp_path / "file").write_text("")
    (folder / "weft_other.json").unlink()
    code, _, err = weft("bitstreams", "add", folder, "--folder", tmp_path / "file")
    assert code == 2 and "cannot write to" in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ("pynq-z2 --board pynq-z2 --toolchain gcc", 2, "must be one of auto, vivado, open, none"),
        ("pynq-z2 --board pynq-z2 --toolchain vivado", 3, "vivado is not on PATH"),
        ("pynq-z2 --board pynq-z2 --toolchain open", 3, "the open toolchain lacks nextpnr-xilinx"),
        ("zcu104 --board zcu104 --toolchain open", 4, "no bitstreams for xczu7ev"),
        ("pynq-z2 --board pynq-z2 --target xcup", 4, "is made of DSP48E2"),
        ("tiny --board aup-zu3 --target xcup-uram", 4, "needs UltraRAM"),
        ("pynq-z2 --board pynq-z2 --target ice40", 2, "unknown target 'ice40'"),
        ("kv260 --board aup-zu3", 4, "1024 multipliers, aup-zu3 has 360"),
        ("pynq-z2 --board pynq-z2 --set scratchpad_bank_bytes=262144", 4, "KiB of memory"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is(
    weft, tmp_path, monkeypatch, arguments, code, word
):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("WEFT_CHIPDB", "WEFT_PRJXRAY_DB"):
        monkeypatch.delenv(name, raising=False)
    got, _, err = weft("build", *arguments.split(), "-o", tmp_path / "out")
    assert got == code and word in err and err.count("\n") == 1, err
    assert not (tmp_path / "out").exists()


def test_natural_configurations_fit_their_boards():
    assert set(NATURAL) == set(PYNQ_BOARDS)
    for name, config in NATURAL.items():
        overlay = Overlay(config, pynq_board(name), config.clock_mhz)
        check_fit(overlay.config, overlay.board, overlay.target)
        assert overlay.target == overlay.board.chip.target


def test_recorded_counts_refuse_a_board(monkeypatch):
    """The record of a preset that outgrew its board: the build ends before the tools start."""
    kept = {"lut": 60_000, "ff": 1, "bram36": 150, "uram": 0, "dsp": 10}
    entry = {"target": "xc7", "levels": 9, "blocks": {"weft_top": kept}}
    monkeypatch.setattr("weft.synth.fit.recorded", lambda: {"pynq-z2": entry})
    overlay = Overlay(PRESETS["pynq-z2"], pynq_board("pynq-z2"), 100)
    with pytest.raises(Unsupported, match=r"60000 LUT where it has 53200 \(\+13%\); 150 BRAM36"):
        check_fit(overlay.config, overlay.board, overlay.target)
    check_fit(PRESETS["pynq-z2"].replace(axi_ports=2, rows=16), overlay.board, "portable")
