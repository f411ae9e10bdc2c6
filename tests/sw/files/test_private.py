"""Locks and folders among those of other users."""

from __future__ import annotations

import os
import tempfile

import pytest

from weft.backend.pynq.lock import BoardLock
from weft.errors import DeviceError, UsageError
from weft.files.private import locked, open_lock, own_folder, user_folder


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A folder for all, as /tmp is."""
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_lock_follows_no_link(shared):
    victim = shared / "victim"
    victim.write_text("precious")
    (shared / "lock").symlink_to(victim)
    with pytest.raises(UsageError, match="it is a link; remove it"), locked(shared / "lock"):
        pass
    (shared / "dangling").symlink_to(shared / "new")
    with pytest.raises(UsageError, match="it is a link"):
        open_lock(shared / "dangling")
    assert victim.read_text() == "precious" and not (shared / "new").exists()


def test_a_lock_changes_nothing(shared):
    (shared / "lock").write_text("precious")
    with locked(shared / "lock"):
        pass
    assert (shared / "lock").read_text() == "precious"
    os.mkfifo(shared / "pipe")
    for odd in (shared / "pipe", shared):
        with pytest.raises(UsageError, match="cannot open the lock"):
            open_lock(odd)


@pytest.mark.parametrize("kind", ["link", "second name", "text"])
def test_the_lock_of_a_board_writes_in_no_other_file(shared, kind):
    BoardLock("10.0.0.1", 80).release()
    (path,) = shared.glob("weft-board-*.lock")
    assert int(path.read_text()) == os.getpid()
    path.unlink()
    victim = shared / "victim"
    victim.write_text("precious")
    if kind == "link":
        path.symlink_to(victim)
        with pytest.raises(DeviceError, match="it is a link; remove it"):
            BoardLock("10.0.0.1", 80)
    else:
        if kind == "text":
            path.write_text("precious")
        else:
            path.hardlink_to(victim)
        BoardLock("10.0.0.1", 80).release()
        assert path.read_text() == "precious"
    assert victim.read_text() == "precious"


def test_the_folder_of_a_user(shared):
    folder = user_folder()
    assert folder == shared / f"weft-{os.geteuid()}" and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert user_folder().stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    (shared / "other").mkdir()
    folder.symlink_to(shared / "other")
    with pytest.raises(UsageError, match="is not a folder of user"):
        user_folder()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make the folder .*; set WEFT_CACHE"):
        own_folder(tmp_path / "file" / "x")
