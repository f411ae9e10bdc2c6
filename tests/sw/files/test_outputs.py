"""Outputs are whole or not at all, and known to be writable before the work."""

from __future__ import annotations

import errno
import os
import pathlib
import resource
import stat
import subprocess
import sys
import tempfile

import pytest

from weft.errors import UsageError
from weft.files.outputs import check_writable, replaced, write_file


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(".part"))


def test_a_new_file_has_the_mode_of_new_files(tmp_path):
    old = os.umask(0o027)
    try:
        write_file(tmp_path / "a", b"1")
    finally:
        os.umask(old)
    assert (tmp_path / "a").read_bytes() == b"1"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert not leftovers(tmp_path)


def test_an_old_file_keeps_its_mode_and_a_link_its_target(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_file(link, "new é")
    assert link.is_symlink() and target.read_text(encoding="utf-8") == "new é"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError("x")])
def test_after_an_error_the_old_file_is_there(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")
    expected = UsageError if isinstance(error, OSError) else KeyError
    with pytest.raises(expected), replaced(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old" and not leftovers(tmp_path)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """For real: no file of the process may pass 1,000 bytes."""
    path = tmp_path / "a"
    path.write_text("old")
    code = (
        "import signal, resource, sys, pathlib; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "from weft.files.outputs import write_file\n"
        "write_file(pathlib.Path(sys.argv[1]), b'x' * 5000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "UsageError" in done.stderr and "what was there is unchanged" in done.stderr
    assert path.read_text() == "old" and not leftovers(tmp_path)


def test_devices_and_pipes_are_written_in_place(tmp_path):
    check_writable(pathlib_null := pathlib.Path("/dev/null"))
    write_file(pathlib_null, b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, b"through")
    assert os.read(reader, 100) == b"through" and stat.S_ISFIFO(os.stat(pipe).st_mode)
    os.close(reader)


def test_what_cannot_be_written_is_refused_first(tmp_path):
    (tmp_path / "file").write_text("f")
    check_writable(tmp_path / "new")
    check_writable(tmp_path / "file")
    for path, why in (
        (tmp_path, "is a folder, not a file"),
        (tmp_path / "no" / "where", "is no folder, so where cannot be written there"),
        (tmp_path / "file" / "x", "is no folder"),
    ):
        with pytest.raises(UsageError, match=why):
            check_writable(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


@pytest.fixture
def nobody():
    """Not root for the time of a test: root writes everywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield os.geteuid()
    os.seteuid(before)


def test_a_folder_without_leave(nobody):
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        place.chmod(0o500)
        with pytest.raises(UsageError, match="cannot write to .*: Permission denied"):
            check_writable(place / "a")
        place.chmod(0o700)
