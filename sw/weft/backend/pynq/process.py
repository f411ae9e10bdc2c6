"""A PYNQ board from a Python without pynq: another Python that has it does the work."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weft.backend.base import Array
from weft.bundle.manifest import Manifest
from weft.bundle.store import choose, find
from weft.errors import DeviceError, Mismatch, UsageError, WeftError
from weft.program import Program, TensorSpec
from weft.results import Count, NonNegative, PositiveFloat
from weft_hw.boards import PYNQ_BOARDS, pynq_board
from weft_hw.config import AcceleratorConfig

from .backend import BoardBackend, RunCost
from .frames import FramedProcess, python_with_pynq
from .identity import BoardFacts, check_host, which_board
from .load import PORT

__all__ = ["PynqProcess", "board_facts", "local_overlay", "open_pynq"]

_SERVER = "weft.backend.pynq.server"


@dataclass(frozen=True)
class _Known:
    """What the other process says of an open board."""

    clock_mhz: PositiveFloat
    virtual: bool
    board: str


@dataclass(frozen=True)
class _Answer:
    """What it says of a run."""

    outputs: dict[str, np.ndarray]
    seconds: NonNegative
    accesses: Count


def _check_array(spec: TensorSpec, what: str, array: Array) -> None:
    if array.shape != spec.shape or array.dtype != spec.dtype:
        raise DeviceError(
            f"the board gave {what} as {array.dtype} {array.shape}, not {spec.dtype} {spec.shape}",
            "reset it",
        )


class PynqProcess(BoardBackend):
    """As :class:`weft.backend.pynq.backend.PynqBackend`, in a Python that has the board's pynq.

    Parameters
    ----------
    bitstream, host, port : as there
    python : str, optional
        The Python with pynq; by default one with the board's version, and on a board this one.

    Raises
    ------
    UsageError
        `host` is no name, or a file is missing.
    ToolMissing
        No Python with the board's version of pynq is found.
    DeviceError, Mismatch
        As PynqBackend raises them.
    """

    def __init__(
        self, bitstream: Path | str, host: str = "", port: int = PORT, *, python: str | None = None
    ) -> None:
        manifest = Manifest.load(Path(bitstream).with_suffix(".json"))
        super().__init__(manifest.config)
        if host:
            check_host(host)
        if python is None:
            version = pynq_board(manifest.board).pynq.package
            python = python_with_pynq(version) if host else sys.executable
        self._process = FramedProcess(python, _SERVER)
        #: Digests of the programs that the other process has.
        self._sent: set[str] = set()
        try:
            path = str(Path(bitstream).resolve())
            known = self._process.ask("open", _Known, bitstream=path, host=host, port=port)
        except WeftError:
            self.close()
            raise
        self.clock_mhz, self.virtual, self.board = dataclasses.astuple(known)

    def load(self, program: Program) -> None:
        self._program = None
        digest = program.digest
        content = b"" if digest in self._sent else program.to_bytes()
        self._process.ask("load", digest=digest, content=content)
        self._sent.add(digest)
        self._program = program

    def unload(self, program: Program | None = None) -> None:
        digest = None if program is None else program.digest
        if program is None or (self._program is not None and self._program.digest == digest):
            self._program = None
        self._process.ask("unload", digest=digest)
        self._sent = set() if program is None else self._sent - {program.digest}

    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        self.check_inputs(inputs)
        patched = dict(patches or {})
        answer = self._process.ask("run", _Answer, inputs=dict(inputs), patches=patched)
        self.cost = RunCost(answer.seconds, answer.accesses)
        outputs: dict[str, Array] = answer.outputs
        if outputs.keys() != self.program.outputs.keys():
            raise DeviceError(f"the board gave {', '.join(outputs) or 'nothing'}", "reset it")
        for output, spec in self.program.outputs.items():
            _check_array(spec, f"output {output}", outputs[output])
        return outputs

    def read_state(self, name: str) -> Array:
        found: Array = self._process.ask("read_state", np.ndarray, name=name)
        if name in self.program.states:
            _check_array(self.program.states[name], f"state {name}", found)
        return found

    def reset(self) -> None:
        self._process.ask("reset")

    def counters(self) -> dict[str, int]:
        return dict(self._process.ask("counters", dict[str, int]))

    def memory(self) -> bytes:
        return bytes(self._process.ask("memory", bytes))

    def check_registers(self) -> None:
        self._program = None
        self._process.ask("check_registers")

    def put_file(self, path: str, data: bytes) -> bool:
        """As :func:`weft.backend.pynq.firmware.put_file`, on the board at the other end."""
        return bool(self._process.ask("put_file", bool, path=path, data=data))

    def close(self) -> None:
        super().close()
        self._process.close()


def board_facts(host: str, port: int) -> BoardFacts:
    """Ask the PYNQ.remote server at `host` what it is.

    Raises
    ------
    UsageError
        `host` is no name.
    DeviceError
        Nobody answers there.
    ToolMissing
        There is no Python with pynq.
    """
    check_host(host)
    # Any version will do: they agree on reading files.
    python = python_with_pynq(*dict.fromkeys(b.pynq.package for b in PYNQ_BOARDS.values()))
    with FramedProcess(python, _SERVER) as process:
        facts: BoardFacts = process.ask("facts", BoardFacts, host=host, port=port)
        return facts


def open_pynq(
    config: AcceleratorConfig, overlay: Path | None = None, host: str = "", port: int = PORT
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
    host = host or os.environ.get("WEFT_BOARD", "")
    named = os.environ.get("WEFT_OVERLAY")
    found = overlay or (Path(named) if named else None)
    if found is None and host:
        facts = board_facts(host, port)
        found = choose(config, which_board(facts, None).name, facts.virtual).bitstream
    elif found is None:
        found = local_overlay(config)
    manifest = Manifest.load(found.with_suffix(".json"))
    if manifest.config.hash != config.hash:
        raise Mismatch(
            f"{found.name} is of config {manifest.config.name} ({manifest.config.hash}), "
            f"{config.name} ({config.hash}) is wanted",
            "name the overlay, or the preset, of the other",
        )
    return PynqProcess(found, host, port)


def local_overlay(config: AcceleratorConfig, board: str | None = None) -> Path:
    """The .bit of `config`, for `board` where it is given, that a real board can be loaded with.

    Raises
    ------
    UsageError
        There is none.
    """
    found = find(config, board)[0]
    if found.manifest.kind == "virtual":
        raise UsageError(
            f"the overlays of {config.name} ({config.hash}) are for virtual boards only",
            "build one with Vivado, then weft bitstreams add",
        )
    return found.bitstream
