"""Work that needs pynq, done by another Python that has it: a process that answers framed requests.

pynq pins old versions of numpy and others, so torch and it live in separate environments. Messages
are two lengths, a JSON header, and the raw bytes of what is bytes or an array in it; nothing is
pickled. A request names an operation and its arguments; the answer is its result or its error.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from typing import IO, Annotated, Any

import numpy as np

from weft.errors import DeviceError, ToolMissing, UsageError, WeftError, error_from
from weft.files.untrusted import MAX_JSON_BYTES, conform, parse_json, printable, record
from weft.results import Rule

from .identity import sentence

__all__ = ["FramedProcess", "Operation", "answer_requests", "python_with_pynq"]

#: Arguments by keyword -> result; both are JSON values, bytes, arrays, and mappings of these.
Operation = Callable[..., Any]

_SOFTWARE = Path(__file__).resolve().parents[3]
_LENGTHS = struct.Struct("<IQ")
#: Of arrays in a message: no objects, no fields.
_DTYPES = frozenset(f"{e}{kind}" for e in "<|" for kind in ("i1", "u1", "b1")) | frozenset(
    f"<{kind}{size}" for kind in "iuf" for size in (2, 4, 8)
)
#: More than a board's memory holds.
_MAX_BYTES = 4 << 30
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


class _Garbled(Exception):
    """A message that is none; where the next one begins is not known."""


def _receive(stream: IO[bytes], result: Any = Any) -> dict[str, Any]:
    """The next message, whose "error" is an object, or whose "result" is of type `result`.

    Raises
    ------
    EOFError
        There is none.
    _Garbled
    """

    def read(size: int) -> bytes:
        found = stream.read(size)
        if len(found) < size:
            raise EOFError
        return found

    sizes = _LENGTHS.unpack(read(_LENGTHS.size))
    if sizes[0] > MAX_JSON_BYTES or sizes[1] > _MAX_BYTES:
        raise _Garbled(f"{sizes[0]} and {sizes[1]} bytes are too many")
    text, data = (read(size) for size in sizes)
    try:
        message = _with_arrays(parse_json(text), memoryview(data))
        conform(message, dict[str, Any], "it")
        if "error" in message:
            conform(message["error"], dict[str, Any], "its error")
        elif dataclasses.is_dataclass(result):
            message["result"] = record(result, message.get("result"), "its result")  # type: ignore[arg-type]
        else:
            conform(message.get("result"), result, "its result")
    except ValueError as error:
        raise _Garbled(printable(str(error))) from None
    return dict(message)


def _with_arrays(message: Any, data: memoryview) -> Any:
    """`message` with its bytes and arrays, which follow one another in `data`.

    Raises
    ------
    ValueError
        They are not what the message says, or more.
    """
    at = 0

    def take(size: object) -> memoryview:
        nonlocal at
        if type(size) is not int or not 0 <= size <= len(data) - at:
            raise ValueError(f"{size!r} bytes, where {len(data) - at} are left")
        at += size
        return data[at - size : at]

    def unpack(found: Any) -> Any:
        if isinstance(found, list):
            return [unpack(one) for one in found]
        if not isinstance(found, dict):
            return found
        if "" not in found:
            return {name: unpack(one) for name, one in found.items()}
        conform(found[""], list[Any], "an array")
        if len(found) != 1 or len(found[""]) != 2:
            raise ValueError(f"an array is a kind and a shape, not {found}")
        kind, shape = found[""]
        if kind == "bytes":
            return bytes(take(shape))
        conform(shape, list[Annotated[int, Rule(minimum=0)]], "a shape")
        if kind not in _DTYPES:
            raise ValueError(f"no array has the type {kind!r}")
        content = take(math.prod(shape) * np.dtype(kind).itemsize)
        return np.frombuffer(content, kind).reshape(shape).copy()

    whole = unpack(message)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes are left over")
    return whole


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

    def ask(self, do: str, kind: Any = Any, /, **arguments: Any) -> Any:
        """What the operation `do` answers, of type `kind`: a dataclass, or as ``conform`` takes.

        Raises
        ------
        WeftError
            As the operation raised it, in its class.
        ToolMissing
            The other process cannot start.
        DeviceError
            It has ended, the operation has a fault, or the answer is none.
        """
        try:
            _send(self._requests, {"do": do, "arguments": arguments})
            answer = _receive(self._answers, kind)
        except (EOFError, OSError):
            if not self._works:
                message = f"{self.python} cannot run {self.module}"
                raise ToolMissing(message, "see its messages above, and make pynq again") from None
            message = f"the process that runs {self.module} has ended before it answered {do!r}"
            raise DeviceError(message, "see its messages above") from None
        except _Garbled as error:
            self.process.kill()  # nobody knows where its next answer begins
            message = f"the process that runs {self.module} gave no answer to {do!r}: {error}"
            raise DeviceError(message, "see its messages above, and make pynq again") from None
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
        except _Garbled as error:
            sys.exit(f"this is no request: {error}")
        name, arguments = str(request.get("do")), request.get("arguments", {})
        try:
            if name not in operations:
                raise UsageError(f"there is no operation {name!r}, only {', '.join(operations)}")
            answer = {"result": operations[name](**arguments)}
        except WeftError as error:
            answer = {"error": error.as_dict()}
        except Exception as error:
            traceback.print_exc()
            kind = type(error).__name__
            message = f"{name} failed in the Python with pynq: {kind}: {sentence(error)}"
            answer = {"error": DeviceError(message, "its messages stand above").as_dict()}
        _send(output, answer)
