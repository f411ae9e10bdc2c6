"""The container of a .bit: tagged fields before the words for the configuration port.

Standard library only. The fields are read as strictly as pynq reads them when it makes the file
that the FPGA manager takes, so that what passes here passes there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["Container", "encode", "parse"]

#: First field: nine bytes whose meaning nobody knows, and a count of one.
_MAGIC = struct.pack(">H", 9) + bytes.fromhex("0ff00ff00ff00ff000") + struct.pack(">H", 1)
_KEYS = (b"a", b"b", b"c", b"d")


@dataclass(frozen=True)
class Container:
    """design, part, date, time: text of the fields; payload: configuration data, whole words."""

    design: str
    part: str
    payload: bytes
    date: str = "2000/01/01"
    time: str = "00:00:00"


def encode(content: Container) -> bytes:
    """Bytes of the file."""
    head = _MAGIC
    values = (content.design, content.part, content.date, content.time)
    for key, value in zip(_KEYS, values, strict=True):
        raw = value.encode() + b"\0"
        head += key + struct.pack(">H", len(raw)) + raw
    return head + b"e" + struct.pack(">I", len(content.payload)) + content.payload


def parse(data: bytes) -> Container:
    """Fields of a file.

    Raises
    ------
    ValueError
        It is cut, too long, or no .bit; the sentence says where.
    """
    if len(data) < len(_MAGIC) or data[:2] != _MAGIC[:2]:
        raise ValueError("its header is not that of a .bit")
    at = len(_MAGIC)
    texts = []
    for key in _KEYS:
        if data[at : at + 1] != key:
            raise ValueError(f"its field {key.decode()} is missing at byte {at}")
        raw = data[at + 3 : at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")]
        texts.append(raw.rstrip(b"\0").decode("latin-1"))
        at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
    if data[at : at + 1] != b"e":
        raise ValueError(f"its field e is missing at byte {at}")
    size = int.from_bytes(data[at + 1 : at + 5], "big")
    payload = data[at + 5 :]
    if len(payload) != size:
        raise ValueError(f"its payload has {len(payload)} bytes, its header says {size}")
    if not size or size % 4:
        raise ValueError(f"its payload must be whole words, not {size} bytes")
    design, part, date, time = texts
    return Container(design, part, payload, date, time)
