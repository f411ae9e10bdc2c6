"""What is made once: whole or not at all, by one of many."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from weft.errors import UsageError
from weft.files.once import once
from weft.files.private import trusted

# Called from tests below with a folder: what was kept there is no longer what was made.


def damaged(folder):
    (folder / "a").write_text("whol3")


def cut(folder):
    (folder / "a").write_text("")


def lost(folder):
    (folder / "a").unlink()


def without_digests(folder):
    (folder / "digests.json").unlink()


def odd_digests(folder):
    (folder / "digests.json").write_text("[]")


def writable_file(folder):
    (folder / "a").chmod(0o666)


def writable_folder(folder):
    folder.chmod(0o777)


def linked_file(folder):
    (folder / "a").rename(folder.with_name("elsewhere"))
    (folder / "a").symlink_to(folder.with_name("elsewhere"))


def linked_folder(folder):
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def another(folder):
    """Whole, and made under another name."""
    once(folder.with_name("y"), write)
    shutil.rmtree(folder)
    folder.with_name("y").rename(folder)


def a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("no folder")


def write(folder):
    (folder / "a").write_text("whole")


def test_one_of_many_builds(tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "a").write_text("half")
        time.sleep(0.2)
        (folder / "a").write_text("whole")

    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append((once(tmp_path / "x", make) / "a").read_text())
        )
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == ["whole"] * 4 and len(made) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "x.lock"]


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "a").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        once(tmp_path / "x", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["x.lock"]


@pytest.mark.parametrize(
    "change",
    [
        damaged, cut, lost, without_digests, odd_digests, writable_file, writable_folder,
        linked_file, linked_folder, another, a_file,
    ],
)  # fmt: skip
def test_what_is_not_what_was_made_is_made_again(tmp_path, change):
    made = []

    def make(folder):
        made.append(folder)
        write(folder)

    target = tmp_path / "x"
    assert once(target, make) == once(target, make) == target and len(made) == 1
    change(target)
    assert (once(target, make) / "a").read_text() == "whole" and len(made) == 2
    once(target, make)
    assert len(made) == 2 and not target.is_symlink()


def test_what_another_user_made_is_not_taken(tmp_path, monkeypatch):
    once(tmp_path / "x", write)
    if os.geteuid() == 0:
        os.chown(tmp_path / "x" / "a", 65534, -1)
        again = []
        once(tmp_path / "x", lambda folder: again.append(write(folder)))
        assert again
        os.chown(tmp_path, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="others can write in .*; set WEFT_CACHE"):
        once(tmp_path / "x", write)


def test_others_may_not_write_what_is_kept(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    old = os.umask(0)
    try:
        kept = once(folder / "x", write)
    finally:
        os.umask(old)
    assert all(trusted(path.lstat()) for path in (folder, kept, *kept.iterdir()))


def test_what_killed_builds_left_is_removed(tmp_path):
    code = (
        "import os, pathlib, signal, sys; from weft.files.once import once\n"
        "def make(folder):\n"
        "    (folder / 'a').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "once(pathlib.Path(sys.argv[1]), make)\n"
    )
    for name in ("x", "y"):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / name)])
        assert done.returncode == -signal.SIGKILL
        assert [p.name.split(".")[0] for p in tmp_path.glob("*.part")] == [name]
    with (tmp_path / "z.lock").open("w") as held:  # z is in the making
        fcntl.flock(held, fcntl.LOCK_EX)
        (tmp_path / "z.1.part").mkdir()
        once(tmp_path / "x", write)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == ["x", "z.1.part"]
