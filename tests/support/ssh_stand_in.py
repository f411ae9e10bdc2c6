#!/usr/bin/env python3
"""ssh, scp, sudo, id and python3 of a board that is a folder: called by the name of its link.

``$STAND_IN_ROOT`` is the folder, ``$STAND_IN_FAULT`` what goes wrong, ``$STAND_IN_BOARD`` what it
calls itself, ``$STAND_IN_UID`` who logs in, ``$STAND_IN_HOST`` a virtual board that stands for
its programmable logic, ``$STAND_IN_PYTHON`` a Python with pynq. Arguments go to calls.jsonl.
"""

from __future__ import annotations

import getopt
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(os.environ["STAND_IN_ROOT"])
FAULT = os.environ.get("STAND_IN_FAULT", "")
SAID = {
    "refused": "ssh: connect to host {} port 22: Connection refused",
    "denied": "{}: Permission denied (publickey,password).",
    "key": "Host key verification failed.",
}


def leave(code: int, text: str = "") -> None:
    if text:
        print(text, file=sys.stderr)
    sys.exit(code)


def options(port: str) -> list[str]:
    """What follows the options; anything that the real program would not take ends the test."""
    found, rest = getopt.getopt(sys.argv[1:], f"o:q{port}:")
    given = [value for name, value in found if name == "-o"]
    if given != ["BatchMode=yes", "ConnectTimeout=10"]:
        leave(99, f"options {given}")
    return rest


def ssh() -> None:
    rest = options("p")
    target, command = rest
    if not re.fullmatch(r"[a-z]+@[\w.:-]+", target):
        leave(99, f"target {target}")
    if FAULT in SAID:
        leave(255, SAID[FAULT].format(target.partition("@")[2]))
    environment = {
        "HOME": str(ROOT),
        "PATH": f"{ROOT / 'bin'}:/usr/bin:/bin",
        **{k: v for k, v in os.environ.items() if k.startswith("STAND_IN")},
    }
    for name, key in (("BOARD", "STAND_IN_BOARD"), ("PYNQ_REMOTE_DEVICES", "STAND_IN_HOST")):
        if os.environ.get(key):
            environment[name] = os.environ[key]
    os.chdir(ROOT)
    os.execve("/bin/sh", ["sh", "-c", command], environment)


def scp() -> None:
    *files, target = options("P")
    folder = Path(target.partition(":")[2])
    if not folder.is_relative_to(ROOT):
        leave(99, f"folder {folder}")
    for number, name in enumerate(files):
        data = Path(name).read_bytes()
        if FAULT == "cut" and number == 1:
            (folder / Path(name).name).write_bytes(data[: len(data) // 2])
            leave(255, "client_loop: send disconnect: Broken pipe\nlost connection")
        if FAULT == "full" and number == 1:
            leave(1, f'scp: write remote "{folder}/x": No space left on device')
        if FAULT == "changed" and number == 1:
            data = bytes([data[0] ^ 1]) + data[1:]
        (folder / Path(name).name).write_bytes(data)


def sudo() -> None:
    found, rest = getopt.getopt(sys.argv[1:], "nSp:")
    if "-n" in dict(found) and FAULT == "sudo":
        leave(1, "sudo: a password is required")
    if "-S" in dict(found) and sys.stdin.readline() != "xilinx\n":
        leave(1, "sudo: no password was provided")
    os.execvp(rest[0], rest)


def main() -> None:
    name = Path(sys.argv[0]).name
    with (ROOT / "calls.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps([name, *sys.argv[1:]]) + "\n")
    if name == "id":
        print(os.environ.get("STAND_IN_UID", "0"))
    elif name == "python3":
        python = os.environ["STAND_IN_PYTHON"]
        os.execv(python, [python, *sys.argv[1:]])
    else:
        {"ssh": ssh, "scp": scp, "sudo": sudo}[name]()


if __name__ == "__main__":
    main()
