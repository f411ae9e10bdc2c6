"""Deploy over ssh: ask the board, send what it lacks, run the checks there.

Files have names of their content, so a file that is there under its name and digest is not sent
again. Each is sent as NAME.part and gets its name when its digest is right: an upload that was cut
leaves no file that anything would load.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.backend.pynq.identity import BoardFacts
from weft.bundle.store import program_name, stage
from weft.errors import DeviceError, error_from
from weft.files.untrusted import conform, parse_json, record
from weft.results import plain

from .offline import wheel
from .remote import Delivery
from .selftest import BoardReport
from .ssh import Ssh

__all__ = ["PASSWORD", "Done", "Probed", "deploy_over_ssh", "probe"]

#: Environment variable with the password that sudo on the board wants; images have "xilinx".
PASSWORD = "WEFT_BOARD_PASSWORD"
#: What an image does at a login: board name, XRT, pynq's Python.
_PROFILES = tuple(f"/etc/profile.d/{n}.sh" for n in ("boardname", "xrt_setup", "pynq_venv"))

_PROBE = r"""
board=
if [ -r /proc/device-tree/chosen/pynq_board ]; then
    board=$(tr -d '\000' < /proc/device-tree/chosen/pynq_board)
fi
if [ -z "$board" ]; then
    if [ -r /etc/profile.d/boardname.sh ]; then . /etc/profile.d/boardname.sh; fi
    board=${BOARD:-}
fi
mkdir -p weft && cd weft || exit 1
find . -maxdepth 1 -name '*.part' -mmin +60 -exec rm -f {} +
echo "board=$board"
echo "uid=$(id -u)"
echo "folder=$(pwd)"
echo "free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')"
grep '^Cma' /proc/meminfo
exit 0
"""

#: Digests of those of the files named that are there.
_DIGESTS = 'cd "$1" || exit 1; shift; sha256sum -- "$@" 2>/dev/null; exit 0'

#: Give each NAME.part its name, or delete it where its digest is wrong: FOLDER DIGEST NAME ...
_FINISH = r"""
cd "$1" || exit 1
shift
while [ $# -ge 2 ]; do
    if [ "$(sha256sum < "$2.part" | cut -c 1-64)" != "$1" ]; then
        rm -f -- "$2.part"
        echo "$2 arrived changed" >&2
        exit 1
    fi
    mv -f -- "$2.part" "$2" || exit 1
    shift 2
done
"""


@dataclass(frozen=True)
class Probed:
    """What a board said over ssh. folder : where its files go. root : whether the login is root's.

    free_bytes : of the disk with `folder`.
    """

    facts: BoardFacts
    folder: str
    root: bool
    free_bytes: int


@dataclass(frozen=True)
class Done:
    """results : as ``weft deploy --json`` prints them. command : runs the program on the board."""

    results: list[dict[str, Any]]
    command: str


def probe(connection: Ssh) -> Probed:
    """Ask a board what it is, and make its folder.

    Raises
    ------
    DeviceError
        It cannot be reached, or gives no sensible answer.
    """
    done = connection.run(["sh", "-c", _PROBE])
    lines = done.stdout.splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    try:
        facts = BoardFacts(found["board"], "\n".join(lines), virtual=False)
        return Probed(facts, found["folder"], found["uid"] == "0", int(found["free_kib"]) << 10)
    except (KeyError, ValueError):
        raise DeviceError(
            f"{connection.host} does not answer as a board does: "
            f"{(done.stderr.strip() or done.stdout.strip() or 'it said nothing').splitlines()[-1]}",
            f"log in by hand, ssh {connection.user}@{connection.host}, and look",
        ) from None


def deploy_over_ssh(connection: Ssh, there: Probed, program: Path, overlay: Path) -> Done:
    """Send Weft's runtime half, overlay and program; run the self-test and the program there.

    Parameters
    ----------
    there : from :func:`probe`
    program, overlay : a .weft file; a .bit with .hwh and manifest beside it

    Raises
    ------
    DeviceError
        The upload broke off, the disk is full, or the board computes something else.
    Mismatch
        Program, overlay and board do not belong together.
    """
    with tempfile.TemporaryDirectory(prefix="weft-") as name:
        folder = Path(name)
        bit = stage(overlay, folder)
        _, runtime = wheel()
        archive = folder / f"weft_{hashlib.sha256(runtime).hexdigest()[:12]}.zip"
        archive.write_bytes(runtime)
        content = program.read_bytes()
        artefact = folder / program_name(program.stem, content)
        artefact.write_bytes(content)
        script = artefact.with_suffix(".sh")
        text = _script(there.folder, archive.name, bit.name, artefact.name)
        script.write_text(text, encoding="utf-8")
        files = [bit.with_suffix(suffix) for suffix in (".bit", ".hwh", ".json")]
        sent = _send(connection, there, [archive, *files, artefact, script])
    answer = _on_board(connection, there, f"{there.folder}/{script.name}")
    stored = f"{there.folder}/{artefact.name}"
    delivery = plain(Delivery("ssh", stored, sent))
    port = [] if connection.port is None else ["-p", str(connection.port)]
    command = ["ssh", *port, "-t", f"{connection.user}@{connection.host}"]
    command += [] if there.root else ["sudo"]
    command += ["bash", f"{there.folder}/{script.name}", "run", "--input", "X.npy"]
    return Done([plain(r) | delivery for r in answer["results"]], shlex.join(command))


def _script(folder: str, archive: str, bit: str, program: str) -> str:
    """``SCRIPT deploy`` or ``SCRIPT run --input X.npy``: pynq's environment, then Weft out of its
    archive."""
    profiles = "\n".join(f"[ ! -r {p} ] || . {p}" for p in _PROFILES)
    return f"""#!/bin/bash
# {program} on {bit}; as root.
{profiles}
cd {shlex.quote(folder)} || exit 1
command=$1
shift
export PYTHONPATH={shlex.quote(archive)}
exec python3 -m weft.deploy.onboard "$command" {shlex.quote(bit)} {shlex.quote(program)} "$@"
"""


def _send(connection: Ssh, there: Probed, files: list[Path]) -> int:
    """Upload those of `files` that the board lacks; their bytes."""
    digests = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    listed = connection.run(["sh", "-c", _DIGESTS, "sh", there.folder, *digests]).stdout
    known = {name: d for d, _, name in (line.partition("  ") for line in listed.splitlines())}
    wanted = [f for f in files if known.get(f.name) != digests[f.name]]
    if not wanted:
        return 0
    size = sum(f.stat().st_size for f in wanted)
    if size > there.free_bytes:
        raise DeviceError(
            f"{connection.host} has {there.free_bytes >> 10} KiB left, {size >> 10} are needed",
            f"delete old files in {there.folder} there",
        )
    parts = [f.with_name(f"{f.name}.part") for f in wanted]
    for path, part in zip(wanted, parts):
        os.rename(path, part)
    connection.upload(parts, there.folder)
    pairs = [word for f in wanted for word in (digests[f.name], f.name)]
    done = connection.run(["sh", "-c", _FINISH, "sh", there.folder, *pairs])
    if done.returncode:
        raise DeviceError(
            f"the upload to {connection.host} is not whole: {done.stderr.strip() or 'no reason'}",
            "deploy again, one client at a time",
        )
    return size


def _on_board(connection: Ssh, there: Probed, script: str) -> dict[str, Any]:
    """Run ``weft.deploy.onboard`` as root on the board; the JSON object that it prints.

    Raises
    ------
    DeviceError, Mismatch, UsageError, ToolMissing
        As raised there.
    """
    words = ["bash", script, "deploy"]
    password = os.environ.get(PASSWORD)
    if not there.root:
        ask = ["-n"] if password is None else ["-S", "-p", ""]
        words = ["sudo", *ask, "--", *words]
    done = connection.run(words, "" if password is None else f"{password}\n")
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        answer = parse_json(last)
        conform(answer, dict[str, Any], "its answer")
        if "message" not in answer:
            conform(answer.get("results"), list[dict[str, Any]], "its results")
            answer["results"] = [record(BoardReport, r, "a result") for r in answer["results"]]
    except ValueError:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if "sudo" in said or "password" in said.lower():
            raise DeviceError(
                f"{connection.user} may not become root on {connection.host}: {said}",
                f"set {PASSWORD} to that user's password, or take --user root",
            ) from None
        raise DeviceError(
            f"Weft on {connection.host} ended with {done.returncode}: {said}",
            "check that the image has Python 3.10, numpy and pynq",
        ) from None
    if "message" in answer:
        raise error_from(answer)
    return dict(answer)
