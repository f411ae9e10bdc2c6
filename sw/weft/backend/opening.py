"""The backends by name: the only list of them, and the only place that opens one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.dram import MemoryModel, memory_of
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig
from weft_hw.platform import Platform

from .base import Backend

__all__ = ["BACKENDS", "SIMULATED", "Entry", "Where", "known_backend", "open_backend"]

Progress = Callable[[str], None]
#: Overlay, host and port of a board.
Where = tuple[Path | None, str, int]


def _emulator(config: AcceleratorConfig, **_: Any) -> Backend[Any]:
    from .emulator import EmulatorBackend

    return EmulatorBackend(config)


def _rtl(
    config: AcceleratorConfig, *, memory: MemoryModel, progress: Progress | None, **_: Any
) -> Backend[Any]:
    from .rtl.backend import RtlBackend

    return RtlBackend(config, memory, progress=progress)


def _pynq(config: AcceleratorConfig, *, board: Where | None, **_: Any) -> Backend[Any]:
    from .pynq.process import open_pynq

    return open_pynq(config, *board) if board else open_pynq(config)


def _reference(config: AcceleratorConfig, **_: Any) -> Backend[Any]:
    from .reference import ReferenceBackend

    return ReferenceBackend(config)


@dataclass(frozen=True)
class Entry:
    """A backend: what opens it, and where it runs: "host", "simulator" or "board"."""

    open: Callable[..., Backend[Any]]
    where: str


#: By name, in the order in which they are offered.
BACKENDS: Mapping[str, Entry] = {
    "rtl": Entry(_rtl, "simulator"),
    "emulator": Entry(_emulator, "simulator"),
    "pynq": Entry(_pynq, "board"),
    "torch-int": Entry(_reference, "host"),
}
#: Those that run programs and need no board.
SIMULATED = tuple(name for name, entry in BACKENDS.items() if entry.where == "simulator")


def known_backend(name: str, *others: str) -> None:
    """Refuse a name that is no backend, nor one of `others`; raises UsageError."""
    names = (*BACKENDS, *others)
    if name not in names:
        raise UsageError(f"backend must be one of {', '.join(names)}, not {name!r}")


def open_backend(
    name: str,
    platform: Platform | AcceleratorConfig,
    *,
    memory: MemoryModel | None = None,
    board: Where | None = None,
    progress: Progress | None = None,
) -> Backend[Any]:
    """Open the backend `name` for a platform: an accelerator, its board and its clock.

    Parameters
    ----------
    name : a name of :data:`BACKENDS`
    platform : or a configuration, which stands for its own board and clock
    memory : the DRAM that a simulation has; that of the platform by default.
    board : of the backend "pynq": overlay, host and port; by default what ``$WEFT_OVERLAY`` and
        ``$WEFT_BOARD`` name.
    progress : callable, optional
        Told what a build of the simulator does.

    Raises
    ------
    UsageError
        There is no such backend.
    ToolMissing
        It is not installed.
    DeviceError, Mismatch
        The board does not answer, or has another accelerator.
    """
    known_backend(name)
    if isinstance(platform, Platform):
        config, own = platform.config, MemoryModel.of(platform)
    else:
        config, own = platform, memory_of(platform)
    return BACKENDS[name].open(config, memory=memory or own, board=board, progress=progress)
