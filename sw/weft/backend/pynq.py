"""A PYNQ board: local, remote over PYNQ.remote, or virtual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weft_hw.registers import STATUS_BUS_BUSY, STATUS_RUNNING

from ..driver.device import Device
from ..driver.pynq_overlay import PORT, LoadedOverlay, connect, load_overlay
from ..driver.pynq_transport import PynqTransport
from ..driver.relocate import Section, relocate, sections
from ..errors import UsageError
from .base import Array, Backend, Capabilities

if TYPE_CHECKING:
    from ..program import Program, TensorSpec

__all__ = ["PynqBackend"]

_PAGE = 4096
#: Cycles; the transport's timeout in seconds ends a run.
_NO_LIMIT = 1 << 62


class PynqBackend(Backend):
    """Run programs on a board.

    Constants are uploaded by :meth:`load` and stay; :meth:`run` moves inputs and outputs.

    Parameters
    ----------
    bitstream : Path
        The .bit of an overlay, with .hwh and manifest beside it; it says the configuration.
    host, port : str, int
        The board's PYNQ.remote server; "" is the board that this runs on.
    timeout_s : float
        Limit of one run.
    watchdog_cycles : int
        Cycles without progress before the core stops itself.

    Raises
    ------
    ToolMissing
        pynq is not installed.
    DeviceError
        The board does not answer, or refuses the bitstream.
    Mismatch
        Overlay, manifest, board or registers do not belong together.
    """

    name = "pynq"

    def __init__(
        self,
        bitstream: Path | str,
        host: str = "",
        port: int = PORT,
        *,
        timeout_s: float = 120.0,
        watchdog_cycles: int = 100_000,
    ) -> None:
        path = Path(bitstream).resolve()
        self.loaded: LoadedOverlay = load_overlay(path, connect(host, port))
        super().__init__(self.loaded.manifest.config)
        interrupts = not self.loaded.remote and getattr(self.loaded.ip, "irq", None) is not None
        self.transport = PynqTransport(
            self.loaded.ip,
            self.loaded.allocate,
            self.loaded.clock_mhz,
            interrupts=interrupts,
            timeout_s=timeout_s,
        )
        self.device = Device(self.transport, self.config, watchdog_cycles)
        self._sections: list[Section] = []

    @property
    def clock_mhz(self) -> float:
        """Clock of the accelerator, as read back."""
        return self.loaded.clock_mhz

    def capabilities(self) -> Capabilities:
        return Capabilities(cycles=True, memory=True, max_arena_bytes=(1 << 32) - _PAGE)

    def load(self, program: Program) -> None:
        self._program = None
        program.require_config(self.config)
        # No burst of an aborted run may reach buffers that are given back.
        if self.device.read("status") & (STATUS_RUNNING | STATUS_BUS_BUSY):
            self.device.reset()
        self._sections = sections(program)
        sizes = [program.arena_bytes]
        sizes += [s.start % _PAGE + s.end - s.start for s in self._sections]
        addresses = self.transport.place(sizes)
        first = min(addresses)
        span = max(a + -(-size // _PAGE) * _PAGE for a, size in zip(addresses, sizes)) - first
        moves = [
            (section, address - first + section.start % _PAGE)
            for section, address in zip(self._sections, addresses[1:])
        ]
        moved = relocate(program, moves, addresses[0] - first, span)
        image = self.transport.buffer(0)
        for offset, data in (*program.constants, (program.program_offset, moved.encoded)):
            image[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        self.transport.flush()
        self.device.program = moved
        self.device.configure(span, moved.program_offset, len(moved.instructions))
        self._program = program
        in_place = [n for n in program.outputs if self._section_of(n, "output") < 0]
        self.transport.wanted = {
            i + 1 for i, s in enumerate(self._sections) if s.kind == "output"
        } | ({0} if in_place else set())
        predicted = program.metadata.get("predicted_cycles", 0)
        self.transport.expected_cycles = int(predicted) if isinstance(predicted, int) else 0

    def _section_of(self, name: str, kind: str) -> int:
        """Index of the section that holds a tensor; -1 where it stayed in the first buffer."""
        for index, section in enumerate(self._sections):
            if section.kind == kind and name in section.tensors:
                return index
        return -1

    def _rows(self, spec: TensorSpec, kind: str) -> tuple[int, NDArray[np.uint8]]:
        """(index of its buffer, view uint8 [rows, row_bytes]) of a tensor."""
        index = self._section_of(spec.name, kind)
        shift = self._sections[index].start // _PAGE * _PAGE if index >= 0 else 0
        start = self.transport.buffer(index + 1)[spec.offset - shift :]
        shape = (spec.shape[0], spec.row_bytes)
        return index + 1, np.lib.stride_tricks.as_strided(start, shape, (spec.pitch, 1))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        program = self.program
        self.check_inputs(inputs)
        for name, array in inputs.items():
            spec = program.inputs[name]
            given = np.ascontiguousarray(array)
            if given.shape != spec.shape or given.dtype != spec.numpy_dtype:
                raise UsageError(
                    f"input {name!r} must be {spec.dtype} {list(spec.shape)}, "
                    f"not {given.dtype} {list(given.shape)}"
                )
            index, rows = self._rows(spec, "input")
            rows[...] = given.view(np.uint8).reshape(rows.shape)
            self.transport.dirty.add(index)
        self.device.run(_NO_LIMIT)
        results = {}
        for name, spec in program.outputs.items():
            _, rows = self._rows(spec, "output")
            found = np.frombuffer(rows.tobytes(), spec.numpy_dtype)
            results[name] = found.reshape(spec.shape).copy()
        return results

    def counters(self) -> dict[str, int]:
        return self.device.counters()

    def memory(self) -> bytes:
        program = self.program
        self.transport.wanted, kept = set(range(len(self._sections) + 1)), self.transport.wanted
        self.transport.invalidate()
        self.transport.wanted = kept
        image = self.transport.buffer(0)[: program.arena_bytes].copy()
        for index, section in enumerate(self._sections):
            start = section.start % _PAGE
            data = self.transport.buffer(index + 1)[start : start + section.end - section.start]
            image[section.start : section.end] = data
        # The instructions that ran name other places; the program's own stand here.
        code = np.frombuffer(program.encoded, np.uint8)
        image[program.program_offset : program.program_offset + len(code)] = code
        return bytes(image.tobytes())

    def close(self) -> None:
        super().close()
        self.transport.close()
