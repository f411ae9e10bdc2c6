"""Bitstreams that only a virtual board takes: a .bit whose payload names a configuration.

Standard library only. The container is the usual .bit, so pynq uploads it like any other; a device
refuses the payload, because the synchronisation word of a configuration is missing.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

from weft.files import bitfile
from weft.files.untrusted import parse_json

__all__ = ["MAGIC", "decode", "encode", "swap"]

MAGIC = b"WEFT-VIRTUAL-BITSTREAM/1\n"
_MAX_BYTES = 1 << 20


def encode(header: dict[str, Any], stem: str, part: str) -> bytes:
    """A .bit whose payload is `header` in JSON.

    Parameters
    ----------
    header : dict of JSON values
        At least ``config``; the content decides the file's hash, by which pynq caches metadata.
    stem, part : str
        For the fields of the container.
    """
    text = json.dumps(header, sort_keys=True).encode()
    payload = MAGIC + struct.pack(">I", len(text)) + text + hashlib.sha256(text).digest()
    payload += bytes(-len(payload) % 4)
    return bitfile.encode(bitfile.Container(stem, part, payload))


def swap(data: bytes) -> bytes:
    """Bytes of each 32-bit word reversed, as pynq does on the way to the FPGA manager."""
    return b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))


def decode(firmware: bytes) -> dict[str, Any]:
    """The header in the firmware file that pynq made of such a .bit.

    Raises
    ------
    ValueError
        The file is something else, or was cut or changed on the way.
    """
    if not len(MAGIC) <= len(firmware) <= _MAX_BYTES:
        raise ValueError("the file is no bitstream of a virtual board")
    payload = swap(firmware)
    if not payload.startswith(MAGIC):
        raise ValueError("the file is no bitstream of a virtual board")
    rest = payload[len(MAGIC) :]
    size = struct.unpack(">I", rest[:4])[0] if len(rest) >= 4 else 0
    text, digest = rest[4 : 4 + size], rest[4 + size : 36 + size]
    if len(text) != size or hashlib.sha256(text).digest() != digest:
        raise ValueError("the bitstream was cut or changed on the way")
    header = parse_json(text)
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    return header
