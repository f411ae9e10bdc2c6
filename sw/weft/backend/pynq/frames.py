"""Work that needs pynq, done by another Python that has it: a process that answers framed requests.

pynq pins old versions of numpy and others, so torch and it live in separate environments. Messages
are two lengths, a JSON header, and the raw bytes of what is bytes or an array in it; nothing is
pickled. A request names an operation and its arguments; the answer is its result or its error.
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

from weft.errors import DeviceError, ToolMissing, UsageError, WeftError, error_from

from .identity import sentence

__all__ = ["FramedProcess", "Operation", "answer_requests", "python_with_pynq"]

#: Arguments by keyword -> result; both are JSON values, bytes, arrays, and mappings of these.
Operation = Callable[..., Any]

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


def _send(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    parts: list[bytes] = []

    def pack(value: object) -> dict[str, Any]:
        if isinstance(value, bytes):
            parts.append(value)
            return {"": ["bytes", len(value)]}
        if not isinstance(value, np.ndarray):
            raise UsageError(f"a process takes arrays and JSON values, not {type(value).__name__}")
        parts.append(np.ascontiguousarray(value).tobytes())
        return {"": [value.dtype.str, list(value.shape)]}

    text = json.dumps(message, default=pack).encode()
    stream.write(_LENGTHS.pack(len(text), sum(map(len, parts))) + text)
    stream.writelines(parts)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    def read(size: int) -> bytes:
        found = stream.read(size)
        if len(found) < size:
            raise EOFError
        return found

    text, data = (read(size) for size in _LENGTHS.unpack(read(_LENGTHS.size)))
    at = 0

    def unpack(found: dict[str, Any]) -> Any:
        nonlocal at
        if "" not in found:
            return found
        (kind, shape), start = found[""], at
        if kind == "bytes":
            at += shape
            return data[start:at]
        dtype, count = np.dtype(kind), math.prod(shape)
        at += count * dtype.itemsize
        return np.frombuffer(data, dtype, count, start).reshape(shape).copy()

    return json.loads(text, object_hook=unpack)


class FramedProcess:
    """Another Python, whose end of the line is :func:`answer_requests`.

    Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    python, module : str, the interpreter and what it runs
    log : file, optional
        Where its messages go; by default to standard error.
    """

    def __init__(self, python: str, module: str, log: IO[Any] | None = None) -> None:
        folders = [str(_SOFTWARE), str(_SOFTWARE.parent / "hw"), os.environ.get("PYTHONPATH", "")]
        self.python, self.module, self._works = python, module, False
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
        assert self.process.stdin is not None and self.process.stdout is not None
        self._requests, self._answers = self.process.stdin, self.process.stdout

    def ask(self, do: str, **arguments: Any) -> Any:
        """What the operation `do` answers.

        Raises
        ------
        WeftError
            As the operation raised it, in its class.
        ToolMissing
            The other process cannot start.
        DeviceError
            It has ended, or the operation has a fault.
        """
        try:
            _send(self._requests, {"do": do, "arguments": arguments})
            answer = _receive(self._answers)
        except (EOFError, OSError):
            if not self._works:
                message = f"{self.python} cannot run {self.module}"
                raise ToolMissing(message, "see its messages above, and make pynq again") from None
            message = f"the process that runs {self.module} has ended before it answered {do!r}"
            raise DeviceError(message, "see its messages above") from None
        self._works = True
        if "error" in answer:
            raise error_from(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Let it end, by force where it does not; calling it again does nothing."""
        with contextlib.suppress(OSError):  # it may have gone before it read all
            self._requests.close()
        try:
            self.process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:  # it waits for a board that does not answer
            self.process.kill()
            self.process.wait()
        self._answers.close()

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
            request = _receive(stdin)
        except EOFError:
            return
        name = request["do"]
        try:
            if name not in operations:
                raise UsageError(f"there is no operation {name!r}, only {', '.join(operations)}")
            answer = {"result": operations[name](**request["arguments"])}
        except WeftError as error:
            answer = {"error": error.as_dict()}
        except Exception as error:
            traceback.print_exc()
            kind = type(error).__name__
            message = f"{name} failed in the Python with pynq: {kind}: {sentence(error)}"
            answer = {"error": DeviceError(message, "its messages stand above").as_dict()}
        _send(output, answer)
