"""A PYNQ board: local, remote over PYNQ.remote, or virtual."""

from __future__ import annotations

from pathlib import Path

from weft.bundle.manifest import Manifest, sha256
from weft.errors import WeftError

from .firmware import refresh
from .identity import is_virtual, require_board
from .load import PORT, LoadedOverlay, connect, load_overlay
from .lock import BoardLock
from .resident import BoardBackend
from .transport import PynqTransport

__all__ = ["PynqBackend"]


class PynqBackend(BoardBackend):
    """Run programs on a board.

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
        The board does not answer, refuses the bitstream, or is in use.
    Mismatch
        Overlay, manifest, board or registers do not belong together.
    """

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
        self._lock = BoardLock(host, port)
        try:
            device = connect(host, port)
            manifest = Manifest.load(path.with_suffix(".json"))
            require_board(manifest.board, device.name)
            if path.is_file() and sha256(path) == manifest.files.get(path.name):
                refresh(device, path)
            self.loaded: LoadedOverlay = load_overlay(path, device)
            interrupts = not self.loaded.remote and getattr(self.loaded.ip, "irq", None) is not None
            transport = PynqTransport(
                self.loaded.ip,
                self.loaded.allocate,
                self.loaded.clock_mhz,
                interrupts=interrupts,
                timeout_s=timeout_s,
            )
            super().__init__(transport, self.loaded.manifest.config, watchdog_cycles)
        except WeftError:
            self._lock.release()
            raise

    @property
    def clock_mhz(self) -> float:
        """Clock of the accelerator, as read back."""
        return self.loaded.clock_mhz

    @property
    def virtual(self) -> bool:
        """Whether the programmable logic is simulated, so that cycles are those of the RTL."""
        return is_virtual(self.loaded.device)

    def __enter__(self) -> PynqBackend:
        return self

    def close(self) -> None:
        super().close()
        self._lock.release()
