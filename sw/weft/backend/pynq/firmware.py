"""Bitstream files on a remote board: whole, and those that were meant.

pynq uploads ``/lib/firmware/STEM.bin`` only where no file of that name exists, and AMD's server
keeps what came of an upload that was interrupted. So an old file, or half of one, would be loaded.

Standard library and pynq only. All raise DeviceError where the board does not answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weft.errors import DeviceError

from .identity import is_remote, sentence

__all__ = ["FIRMWARE", "put_file", "read_file", "refresh"]

#: Where the FPGA manager looks; the one folder that every PYNQ.remote server has.
FIRMWARE = "/lib/firmware/"


def read_file(device: Any, path: str) -> bytes | None:
    """Content of a file of a remote board; None where there is none."""
    try:
        if not device.exists_file(path).exists:
            return None
        return bytes(device.read_file(path))
    except Exception as error:
        raise _gone(path, error) from error


def put_file(device: Any, path: str, data: bytes) -> bool:
    """Write a file of a remote board unless it is there already; whether it had to be written.

    Raises
    ------
    DeviceError
        The board keeps other bytes than were sent.
    """
    if read_file(device, path) == data:
        return False
    try:
        device.write_file(path, data)
    except Exception as error:
        raise _gone(path, error) from error
    if read_file(device, path) != data:
        raise DeviceError(
            f"the board has not kept {path} as it was sent",
            "free space on the board, and let one client upload at a time",
        )
    return True


def refresh(device: Any, bitstream: Path) -> None:
    """Replace what is left on a remote board of an older or interrupted upload of `bitstream`."""
    path = f"{FIRMWARE}{bitstream.stem}.bin"
    if is_remote(device) and read_file(device, path) is not None:
        from pynq.pl_server.embedded_device import bit2bin

        put_file(device, path, bytes(bit2bin(bitstream.read_bytes())))


def _gone(path: str, error: Exception) -> DeviceError:
    return DeviceError(
        f"the board does not let {path} be read or written: {sentence(error)}",
        "check its power, network and free space, then try again",
    )
