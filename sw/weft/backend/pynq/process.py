"""A PYNQ board from a Python without pynq: another Python that has it does the work.

pynq pins old versions of numpy and others, so torch and it live in separate environments. Messages
are a length, a JSON header and raw bytes; nothing is pickled.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from weft.backend.base import Array, Capabilities, ProgramBackend
from weft.bundle.manifest import Manifest
from weft.errors import DeviceError, Mismatch, ToolMissing, Unsupported, UsageError, WeftError
from weft_hw.boards import pynq_board
from weft_hw.config import AcceleratorConfig

if TYPE_CHECKING:
    from weft.program import Program

__all__ = ["PynqProcess", "open_pynq"]

_LENGTHS = struct.Struct("<II")
_PORT = 7967
#: How long the other process may take to give its buffers back.
_CLOSE_S = 30
#: Errors that keep their class on the way back.
_ERRORS = {c.exit_code: c for c in (DeviceError, Mismatch, ToolMissing, Unsupported, UsageError)}


def _send(stream: IO[bytes], header: dict[str, Any], data: bytes = b"") -> None:
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), len(data)) + text + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    sizes = stream.read(_LENGTHS.size)
    if len(sizes) < _LENGTHS.size:
        raise EOFError
    text, data = (stream.read(n) for n in _LENGTHS.unpack(sizes))
    header: dict[str, Any] = json.loads(text)
    return header, data


def _pack(arrays: Mapping[str, Array]) -> tuple[list[list[Any]], bytes]:
    """(name, dtype, shape) of each array, and all their bytes."""
    kept = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
    return [[n, a.dtype.str, list(a.shape)] for n, a in kept.items()], b"".join(
        a.tobytes() for a in kept.values()
    )


def _unpack(heads: list[list[Any]], data: bytes) -> dict[str, Array]:
    found: dict[str, Array] = {}
    at = 0
    for name, kind, shape in heads:
        dtype, count = np.dtype(kind), math.prod(shape)
        found[name] = np.frombuffer(data, dtype, count, at).reshape(shape).copy()
        at += count * dtype.itemsize
    return found


class PynqProcess(ProgramBackend):
    """As :class:`weft.backend.pynq.backend.PynqBackend`, whose parameters it takes.

    Raises
    ------
    ToolMissing
        No Python with the board's version of pynq is found.
    """

    name = "pynq"

    def __init__(
        self, bitstream: Path | str, host: str, port: int = _PORT, python: str | None = None
    ) -> None:
        path = Path(bitstream).resolve()
        manifest = Manifest.load(path.with_suffix(".json"))
        super().__init__(manifest.config)
        if python is None:
            from .environment import interpreter

            here = not host and importlib.util.find_spec("pynq") is not None
            package = pynq_board(manifest.board).pynq.package
            python = sys.executable if here else interpreter(package)
        root = Path(__file__).resolve().parents[3]
        folders = [str(root), str(root.parent / "hw"), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [python, "-m", __name__, str(path), host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        )
        self._loaded: dict[int, Program] = {}
        try:
            opened = self._ask({"do": "open"})[0]
        except WeftError:
            self.close()
            raise
        #: Clock of the accelerator, as read back.
        self.clock_mhz = float(opened["clock_mhz"])
        #: Whether the board is a virtual one, so that cycles are those of the simulated RTL.
        self.virtual = bool(opened["virtual"])
        #: What the board calls itself.
        self.board = str(opened["board"])

    def _ask(self, header: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            _send(process.stdin, header, data)
            answer, found = _receive(process.stdout)
        except (EOFError, OSError):
            raise DeviceError(
                "the process that talks to the board has ended", "see its messages above"
            ) from None
        if "error" in answer:
            kind = _ERRORS.get(answer["error"], DeviceError)
            raise kind(answer["message"], answer["remedy"])
        return answer, found

    def capabilities(self) -> Capabilities:
        return Capabilities(cycles=True, memory=True, max_arena_bytes=(1 << 32) - 4096)

    def load(self, program: Program) -> None:
        self._program = None
        number = id(program)
        known = number in self._loaded
        data = b"" if known else program.to_bytes()
        self._ask({"do": "load", "number": number, "known": known}, data)
        self._loaded[number] = program
        self._program = program

    def read_state(self, name: str) -> Array:
        return self.program.read_state(np.zeros(0, np.uint8), name)

    def reset(self) -> None:
        """Nothing to do: no program has states."""

    def unload(self, program: Program | None = None) -> None:
        self._program = None  # all programs go: the next load brings what it needs
        self._loaded.clear()
        self._ask({"do": "unload"})

    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        self.check_inputs(inputs)
        self.program.patched_instructions(patches)
        heads, data = _pack(inputs)
        answer, found = self._ask({"do": "run", "arrays": heads}, data)
        return _unpack(answer["arrays"], found)

    def counters(self) -> dict[str, int]:
        found: dict[str, int] = self._ask({"do": "counters"})[0]["counters"]
        return found

    def memory(self) -> bytes:
        return self._ask({"do": "memory"})[1]

    def close(self) -> None:
        super().close()
        if self._process.poll() is None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(_CLOSE_S)
            except subprocess.TimeoutExpired:  # it waits for a board that does not answer
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()


def open_pynq(
    config: AcceleratorConfig, overlay: Path | None = None, host: str = "", port: int = _PORT
) -> PynqProcess:
    """A board with `config` in it.

    Parameters
    ----------
    overlay : Path, optional
        The .bit; by default ``$WEFT_OVERLAY``, or the overlay of `config` that fits the board.
    host : str
        By default ``$WEFT_BOARD``; without either the board is the machine that this runs on.

    Raises
    ------
    UsageError
        There is no overlay.
    Mismatch
        The overlay is of another configuration, or for another board.
    DeviceError, ToolMissing
        The board cannot be reached from here.
    """
    from .resolve import resolve_overlay

    host = host or os.environ.get("WEFT_BOARD", "")
    named = os.environ.get("WEFT_OVERLAY")
    chosen = overlay or (Path(named) if named else None)
    found = resolve_overlay(config, chosen, host, port)
    manifest = Manifest.load(found.with_suffix(".json"))
    if manifest.config.hash != config.hash:
        raise Mismatch(
            f"{found.name} is of config {manifest.config.name} ({manifest.config.hash}), "
            f"{config.name} ({config.hash}) is wanted",
            "name the overlay, or the preset, of the other",
        )
    return PynqProcess(found, host, port)


def _serve(arguments: list[str]) -> None:
    """The other end: answer until the input ends."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # pynq prints
    from weft.program import Program

    from .backend import PynqBackend

    backend: PynqBackend | None = None
    programs: dict[int, Program] = {}
    while True:
        try:
            header, data = _receive(stdin)
        except EOFError:
            break
        try:
            answer: dict[str, Any] = {}
            found = b""
            if backend is None:
                backend = PynqBackend(arguments[0], arguments[1], int(arguments[2]))
                answer["clock_mhz"] = backend.clock_mhz
                answer["virtual"] = backend.virtual
                answer["board"] = str(backend.loaded.device.name)
            elif header["do"] == "load":
                if not header["known"]:
                    programs[header["number"]] = Program.from_bytes(data)
                backend.load(programs[header["number"]])
            elif header["do"] == "run":
                outputs = backend.run(_unpack(header["arrays"], data))
                answer["arrays"], found = _pack(outputs)
            elif header["do"] == "unload":
                backend.unload()
                programs.clear()
            elif header["do"] == "counters":
                answer["counters"] = backend.counters()
            else:
                found = backend.memory()
        except WeftError as error:
            _send(
                stdout,
                {"error": error.exit_code, "message": error.message, "remedy": error.remedy},
            )
        else:
            _send(stdout, answer, found)
    if backend is not None:
        backend.close()


if __name__ == "__main__":
    _serve(sys.argv[1:])
