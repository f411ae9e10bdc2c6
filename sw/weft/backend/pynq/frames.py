"""Work that needs pynq, done by another Python that has it: a process that answers framed requests.

pynq pins old versions of numpy and others, so torch and it live in separate environments. Messages
are two lengths, a JSON header and raw bytes; nothing is pickled. A request names an operation and
its arguments; the answer is what the operation found, or the error that it raised.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from weft.backend.base import Array
from weft.errors import DeviceError, ToolMissing, UsageError, WeftError, error_from

__all__ = ["FramedProcess", "Operation", "answer_requests", "pack", "python_with_pynq", "unpack"]

#: (bytes of the request, its arguments by keyword) -> (JSON values, bytes) of the answer.
Operation = Callable[..., "tuple[dict[str, Any], bytes]"]

_SOFTWARE = Path(__file__).resolve().parents[3]
_LENGTHS = struct.Struct("<IQ")
#: How long the other process may take to give back what it holds.
_CLOSE_S = 30


def python_with_pynq(*versions: str) -> str:
    """A Python that has one of these versions of pynq.

    That is this one, ``$WEFT_PYNQ_PYTHON``, or what scripts/pynq_environment.py made.

    Raises
    ------
    ToolMissing
        There is none.
    """
    try:
        if importlib.metadata.version("pynq") in versions:
            return sys.executable
    except importlib.metadata.PackageNotFoundError:
        pass
    if os.environ.get("WEFT_PYNQ_PYTHON"):
        return os.environ["WEFT_PYNQ_PYTHON"]
    for version in versions:
        made = _SOFTWARE.parent / "build" / "pynq-venv" / version / "bin" / "python"
        if made.exists():
            return str(made)
    raise ToolMissing(
        f"there is no Python with pynq {' or '.join(versions)}",
        f"run make pynq in the repository, or pip install 'weft[pynq]' 'pynq=={versions[-1]}' in "
        "an environment of its own and set WEFT_PYNQ_PYTHON to its Python",
    )


def pack(arrays: Mapping[str, Array]) -> tuple[list[list[Any]], bytes]:
    """(name, dtype, shape) of each array, and all their bytes."""
    kept = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
    heads = [[n, a.dtype.str, list(a.shape)] for n, a in kept.items()]
    return heads, b"".join(a.tobytes() for a in kept.values())


def unpack(heads: list[list[Any]], data: bytes) -> dict[str, Array]:
    """The arrays that :func:`pack` packed."""
    found: dict[str, Array] = {}
    at = 0
    for name, kind, shape in heads:
        dtype, count = np.dtype(kind), math.prod(shape)
        found[name] = np.frombuffer(data, dtype, count, at).reshape(shape).copy()
        at += count * dtype.itemsize
    return found


def _send(stream: IO[bytes], header: dict[str, Any], data: bytes) -> None:
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), len(data)) + text + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    def read(size: int) -> bytes:
        found = stream.read(size)
        if len(found) < size:
            raise EOFError
        return found

    text, data = (read(size) for size in _LENGTHS.unpack(read(_LENGTHS.size)))
    header: dict[str, Any] = json.loads(text)
    return header, data


class FramedProcess:
    """Another Python, whose end of the line is :func:`answer_requests`.

    Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    python : str
        The interpreter.
    module : str
        What it runs.
    log : file, optional
        Where its messages go; by default to standard error.
    """

    def __init__(self, python: str, module: str, log: IO[Any] | None = None) -> None:
        folders = [str(_SOFTWARE), str(_SOFTWARE.parent / "hw"), os.environ.get("PYTHONPATH", "")]
        self.python, self.module = python, module
        try:
            self.process = subprocess.Popen(
                [python, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
            )
        except OSError as error:
            raise ToolMissing(
                f"{python} cannot be started: {error.strerror}", "set WEFT_PYNQ_PYTHON to a Python"
            ) from None

    def ask(self, do: str, data: bytes = b"", **arguments: Any) -> tuple[dict[str, Any], bytes]:
        """What the operation `do` answers: JSON values and bytes.

        Raises
        ------
        WeftError
            As the operation raised it, in its class.
        DeviceError
            The other process has ended, or the operation has a fault.
        """
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        try:
            _send(process.stdin, {"do": do, "arguments": arguments}, data)
            answer, found = _receive(process.stdout)
        except (EOFError, OSError):
            raise DeviceError(
                f"the process that runs {self.module} has ended before it answered {do!r}",
                f"see its messages above; {self.python} must have pynq and numpy",
            ) from None
        if "error" in answer:
            raise error_from(answer["error"])
        return answer["found"], found

    def close(self) -> None:
        """Let it end, by force where it does not; calling it again does nothing."""
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):  # it may have gone before it read all
            process.stdin.close()
        try:
            process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:  # it waits for a board that does not answer
            process.kill()
            process.wait()
        process.stdout.close()

    def __enter__(self) -> FramedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answer_requests(operations: Mapping[str, Operation]) -> None:
    """The other end: answer until the input ends. What is printed goes to standard error."""
    stdin, output = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # pynq, and what it loads, print
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells both ends; the first one acts
    while True:
        try:
            request, data = _receive(stdin)
        except EOFError:
            return
        name, found = request["do"], b""
        try:
            if name not in operations:
                raise UsageError(f"there is no operation {name!r}, only {', '.join(operations)}")
            values, found = operations[name](data, **request["arguments"])
            answer: dict[str, Any] = {"found": values}
        except WeftError as error:
            answer = {"error": error.as_dict()}
        except Exception as error:
            traceback.print_exc()
            text = (str(error).strip().splitlines() or [""])[0]
            message = f"{name} failed in the Python with pynq: {type(error).__name__}: {text}"
            answer = {"error": DeviceError(message, "its messages stand above").as_dict()}
        _send(output, answer, found)
