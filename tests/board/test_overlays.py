"""Finding an overlay by board and configuration, and staging it under the name of its content."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from weft.backend.pynq.identity import (
    BoardFacts,
    check_host,
    require_board,
    require_cma,
    which_board,
)
from weft.bundle import Manifest, Overlay
from weft.bundle.build import write_virtual
from weft.bundle.store import choose, find, folders, stage
from weft.errors import Mismatch, Unsupported, UsageError
from weft_hw.boards import pynq_board
from weft_hw.config import preset

TINY = preset("tiny")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_BITSTREAMS", str(tmp_path / "all"))
    for name in ("zcu104", "kv260"):
        write_virtual(Overlay(TINY, pynq_board(name), 100), tmp_path / "all" / name)
    (tmp_path / "all" / "other.json").write_text("{}")
    (tmp_path / "all" / "other.bit").write_bytes(b"")
    return tmp_path / "all"


def real_copy(place, name: str):
    """What a vendor's tool would have left: the same files, another kind, another stem."""
    (path,) = (place / "zcu104").glob("*.json")
    folder = place / name
    shutil.copytree(place / "zcu104", folder)
    manifest = dataclasses.replace(Manifest.load(path), kind="vivado")
    manifest.save(folder)
    return folder / path.with_suffix(".bit").name


def test_an_overlay_is_found_by_board_configuration_and_kind(place):
    assert {f.manifest.board for f in find(TINY)} == {"zcu104", "kv260"}
    assert choose(TINY, "zcu104", virtual=True).bitstream.parent == place / "zcu104"
    with pytest.raises(UsageError, match="for virtual boards only; build it with Vivado"):
        choose(TINY, "zcu104", virtual=False)
    bit = real_copy(place, "real")
    assert choose(TINY, "zcu104", virtual=False).bitstream == bit
    assert find(TINY, "zcu104")[0].bitstream == bit  # real ones first
    shutil.copytree(bit.parent, place / "copy")  # the same content twice is no question
    assert choose(TINY, "zcu104", virtual=False)
    (place / "copy" / bit.name).write_bytes(b"other")
    with pytest.raises(UsageError, match="several overlays fit"):
        choose(TINY, "zcu104", virtual=False)


def test_no_overlay_says_where_it_was_looked_for(place):
    with pytest.raises(UsageError) as error:
        find(preset("pynq-z2"), "pynq-z2")
    assert str(place) in str(error.value)
    assert "weft build pynq-z2 --board pynq-z2" in error.value.remedy


def test_the_users_own_folder_is_one_of_the_places(monkeypatch, tmp_path):
    monkeypatch.delenv("WEFT_BITSTREAMS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert tmp_path / "weft" / "overlays" in folders()


def test_staged_files_have_names_of_their_content(place, tmp_path):
    bit = choose(TINY, "zcu104", virtual=True).bitstream
    first = stage(bit, tmp_path / "a")
    assert first.name != bit.name and first.stem.startswith(bit.stem)
    Manifest.load(first.with_suffix(".json")).verify(first.parent)
    assert stage(bit, tmp_path / "b").name == first.name
    bit.with_suffix(".hwh").write_text("other")
    with pytest.raises(Mismatch, match="SHA-256"):
        stage(bit, tmp_path / "c")
    bit.with_suffix(".hwh").unlink()
    with pytest.raises(UsageError, match="missing"):
        stage(bit, tmp_path / "c")


def test_a_board_is_what_it_says(monkeypatch):
    assert which_board(BoardFacts("pynq-Z2", "", False), None).name == "pynq-z2"
    assert which_board(BoardFacts("Unknown", "", False), "kv260").name == "kv260"
    with pytest.raises(Mismatch, match="--board is pynq-z1 .Pynq-Z1., .* it is Pynq-Z2"):
        which_board(BoardFacts("Pynq-Z2", "", False), "pynq-z1")
    with pytest.raises(UsageError, match="calls itself Zedboard"):
        which_board(BoardFacts("Zedboard", "", False), None)
    require_board("pynq-z2", "Unknown")


def test_memory_of_the_board_and_what_to_do_about_it():
    board = pynq_board("pynq-z2")
    text = "MemTotal: 1 kB\nCmaTotal:         131072 kB\n"
    assert BoardFacts("Pynq-Z2", text, False).cma_bytes(board) == 128 << 20
    assert BoardFacts("Pynq-Z2", "MemTotal: 1 kB\n", False).cma_bytes(board) == board.pynq.cma_bytes
    require_cma("p.weft", 128 << 20, 128 << 20)
    with pytest.raises(Unsupported, match="130.0 MiB.*128.0 MiB.*cma=256M"):
        require_cma("p.weft", 130 << 20, 128 << 20)


@pytest.mark.parametrize("host", ["192.168.2.99", "pynq.local", "fe80::1%eth0", "::1", "a"])
def test_hosts(host):
    check_host(host)


@pytest.mark.parametrize("host", ["", "-x", "a b", "a;b", "a/b", "u@h", "a\n", "$x", "x" * 300])
def test_no_hosts(host):
    with pytest.raises(UsageError):
        check_host(host)
