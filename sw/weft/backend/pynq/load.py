"""Load an overlay with pynq, local or remote, around the traps of pynq 3.1 and 4.0."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from weft.bundle.manifest import Manifest, verified
from weft.errors import DeviceError, Mismatch, ToolMissing
from weft.files.private import locked, user_folder
from weft_hw.boards import pynq_board
from weft_hw.ip import MODULE_VLNV, PACKAGED_VLNV

from . import zynq7
from .identity import is_remote, sentence

__all__ = ["PORT", "LoadedOverlay", "connect", "load_overlay", "one_at_a_time"]

#: TCP port of a PYNQ.remote server.
PORT = 7967
#: The PL clock may be this much above the one that timing was checked at: rounding of the PLL.
_CLOCK_TOLERANCE = 1.001


@dataclass(frozen=True)
class LoadedOverlay:
    """An overlay on a board.

    ip : the driver that pynq bound; device : pynq's device; clock_mhz : as read back from it.
    """

    ip: Any
    device: Any
    manifest: Manifest
    clock_mhz: float
    remote: bool


def connect(host: str = "", port: int = PORT) -> Any:
    """pynq's device: the board that this runs on, or the one at `host`.

    Raises
    ------
    ToolMissing
        pynq is not installed.
    DeviceError
        Nobody answers at `host`.
    """
    if host:
        os.environ.setdefault("PYNQ_REMOTE_DEVICES", host)  # what pynq reads when it is imported
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pynq
            import pynq.lib
    except ImportError as error:
        raise ToolMissing(
            f"the package pynq cannot be imported: {error}",
            "on a board it is part of the image; elsewhere run scripts/pynq_environment.py",
        ) from None
    if not host:
        return pynq.Device.active_device
    from pynq.pl_server.remote_device import RemoteDevice

    try:
        device = RemoteDevice(0, host, port)
    except Exception as error:
        raise DeviceError(
            f"no board answers at {host}, port {port}: {sentence(error)}",
            "check its address, that pynq-remote runs there, and that no proxy is in between",
        ) from None
    pynq.Device.active_device = device
    return device


def load_overlay(bitstream: Path, device: Any) -> LoadedOverlay:
    """Check the files, load the overlay and set its clock.

    Parameters
    ----------
    bitstream : Path
        The .bit; .hwh and .json (the manifest) lie beside it.
    device : from :func:`connect`

    Raises
    ------
    UsageError
        A file is missing.
    Mismatch
        Files do not belong together, or to this board.
    DeviceError
        The board refuses the bitstream, or cannot give the clock.
    """
    manifest = verified(bitstream)
    board = pynq_board(manifest.board)
    remote = is_remote(device)
    if remote and device.arch != board.system.architecture:
        raise Mismatch(
            f"{bitstream.name} is for {board.name} ({board.system.architecture}), "
            f"the board at the other end is {device.name} ({device.arch})",
            "take the overlay of this board",
        )
    import pynq

    pynq.Device.active_device = device  # some of pynq's code looks only there
    from . import ip as pynq_ip  # noqa: F401  (binds the driver)

    with one_at_a_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        overlay = pynq.Overlay(str(bitstream), download=False, device=device)
        name = _find(overlay, manifest)
        if hasattr(pynq.ps.Clocks, "_real_instance"):
            del pynq.ps.Clocks._real_instance  # of the first device; let pynq look at this one's
        # pynq 4.0.0 finds no frequency in descriptions of Zynq-7000; the clock is set below.
        overlay.clock_dict = {}
        try:
            overlay.download()
        except Exception as error:
            raise DeviceError(
                f"the board refuses {bitstream.name}: {sentence(error)}",
                f"check that it is a {board.name}, and reload",
            ) from error
        if manifest.kind == "open":
            numbers = board.system.port_numbers(manifest.config.axi_ports)
            zynq7.enable_ports(partial(pynq.MMIO, device=device), numbers)
        clock = _set_clock(pynq.ps.Clocks, manifest)
        return LoadedOverlay(getattr(overlay, name), device, manifest, clock, remote)


def _find(overlay: Any, manifest: Manifest) -> str:
    """Name of the accelerator in the overlay, whose description must be that of the manifest."""
    for name, entry in overlay.ip_dict.items():
        if entry.get("type") in (MODULE_VLNV, PACKAGED_VLNV):
            found = str(entry.get("parameters", {}).get("CONFIG_HASH", "")).strip('"')
            if found != manifest.config.hash:
                raise Mismatch(
                    f"the .hwh is stale: it says config {found or 'nothing'}, the manifest "
                    f"{manifest.config.hash}",
                    "build the overlay again; pynq caches descriptions by the bytes of the .bit",
                )
            return str(name)
    raise Mismatch(
        "the overlay holds no Weft accelerator", "build it with weft build, or take another file"
    )


def _set_clock(clocks: Any, manifest: Manifest) -> float:
    clocks.set_pl_clk(0, clk_mhz=manifest.clock_mhz)
    found = float(clocks.fclk0_mhz)
    if found > manifest.clock_mhz * _CLOCK_TOLERANCE:
        # The dividers round to the nearest; take the next slower clock.
        board = pynq_board(manifest.board)
        wanted = board.system.clock(manifest.clock_mhz)
        clocks.set_pl_clk(0, wanted.divisor0, wanted.divisor1)
        found = float(clocks.fclk0_mhz)
    if not 0 < found <= manifest.clock_mhz * _CLOCK_TOLERANCE:
        raise DeviceError(
            f"the board clocks the accelerator at {found:g} MHz, its timing was checked at "
            f"{manifest.clock_mhz:g} MHz",
            "build the overlay for a clock that this board gives",
        )
    return found


def one_at_a_time() -> contextlib.AbstractContextManager[None]:
    """Overlays of several processes one after the other: pynq's metadata cache is one file."""
    return locked(user_folder() / "pynq.lock")
