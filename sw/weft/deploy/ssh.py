"""The system's ssh and scp, for boards whose image has no PYNQ.remote server.

Nothing is asked on the way (batch mode): keys and known hosts are those of the user's ssh.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from weft.backend.pynq.identity import check_host
from weft.errors import DeviceError, ToolMissing, UsageError

__all__ = ["Ssh", "answering"]

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_CONNECT_S = 10
#: Longest that one command on a board may take: uploads to a slow card, a self-test on an A9.
_COMMAND_S = 600


def answering(host: str, port: int, ssh_port: int) -> str:
    """"remote" or "ssh": what answers at `host`, PYNQ.remote first.

    Raises
    ------
    DeviceError
        Neither does.
    """
    for way, number in (("remote", port), ("ssh", ssh_port)):
        try:
            socket.create_connection((host, number), 3).close()
        except OSError:
            continue
        return way
    raise DeviceError(
        f"no board answers at {host}: neither PYNQ.remote on port {port} nor ssh on {ssh_port}",
        "check its address, power and network; --transport ssh asks your ssh configuration",
    )


class Ssh:
    """One user on one board.

    Parameters
    ----------
    host, user : str
    port : int, optional
        By default what the user's ssh configuration says.

    Raises
    ------
    UsageError
        A name that ssh, or a shell, could take for something else.
    ToolMissing
        There is no ssh or no scp.
    """

    def __init__(self, host: str, user: str, port: int | None = None) -> None:
        check_host(host)
        if not _USER.fullmatch(user):
            raise UsageError(f"--user must be a login name, not {user!r}", "for example xilinx")
        if port is not None and not 0 < port < 1 << 16:
            raise UsageError(f"--ssh-port must be in 1..65535, not {port}", "leave it away for 22")
        for program in ("ssh", "scp"):
            if shutil.which(program) is None:
                raise ToolMissing(
                    f"there is no {program} on PATH", "apt-get install -y openssh-client"
                )
        self.host, self.user, self.port = host, user, port

    def _options(self, port_flag: str) -> list[str]:
        found = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}"]
        return found + ([port_flag, str(self.port)] if self.port is not None else [])

    def run(self, words: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command on the board; its exit code, 255 apart, is the caller's to judge.

        Parameters
        ----------
        words : a program and its arguments, each of which arrives as one word.
        given : its standard input.

        Raises
        ------
        DeviceError
            ssh itself failed; the sentence holds its last words.
        """
        target = f"{self.user}@{self.host}"
        done = self._call(
            ["ssh", *self._options("-p"), "--", target, shlex.join(words)], given
        )
        if done.returncode == 255:
            raise self._failure(done.stderr)
        return done

    def upload(self, files: Sequence[Path], folder: str) -> None:
        """Copy files into a folder of the board.

        Parameters
        ----------
        folder : absolute path of letters, digits and ``_./-``: scp may show it to a shell.

        Raises
        ------
        DeviceError
            Not all of it arrived; what did is left there.
        """
        if not re.fullmatch(r"/[\w./-]*", folder):
            raise UsageError(f"the board's folder is {folder!r}, a name that scp may misread")
        host = f"[{self.host}]" if ":" in self.host else self.host
        target = f"{self.user}@{host}:{folder}/"
        paths = [str(f.resolve()) for f in files]
        done = self._call(["scp", "-q", *self._options("-P"), "--", *paths, target], "")
        if done.returncode:
            if re.search(r"no space left", done.stderr, re.IGNORECASE):
                raise DeviceError(
                    f"the disk of {self.host} is full: {_last(done.stderr)}",
                    f"delete old files in {folder} there, then deploy again",
                )
            if done.returncode == 255 and "connect to host" in done.stderr:
                raise self._failure(done.stderr)
            raise DeviceError(
                f"the upload to {self.host} broke off: {_last(done.stderr)}",
                "deploy again; what arrived whole is not sent twice",
            )

    def _call(self, command: list[str], given: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                input=given,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_COMMAND_S,
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"{self.host} has not finished after {_COMMAND_S} s",
                "look at the board; it may hang and need a restart",
            ) from None

    def _failure(self, stderr: str) -> DeviceError:
        text = _last(stderr)
        remedy = "check its address, power and network"
        if "host key" in stderr.lower():
            remedy = f"log in once by hand, ssh {self.user}@{self.host}, to accept the board's key"
        elif "permission denied" in stderr.lower():
            remedy = f"give the board your key: ssh-copy-id {self.user}@{self.host}"
        return DeviceError(f"ssh to {self.user}@{self.host} failed: {text}", remedy)


def _last(stderr: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "it said nothing"
