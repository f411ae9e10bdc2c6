"""What the files of an overlay hold, read before pynq does: a digest says only whose they are.

Standard library only: this runs on a board.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from weft.errors import Mismatch
from weft.files import bitfile

__all__ = ["check_content"]

#: A description has some hundred KiB, the bitstream of the largest chip 30 MiB.
_MAX_HWH_BYTES, _MAX_BIT_BYTES = 32 << 20, 256 << 20
#: XML that declares entities can grow without end; tools write none.
_DECLARES = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_ROOT = "EDKSYSTEM"


def check_content(path: Path) -> None:
    """Refuse a .bit or .hwh that pynq cannot read; other files pass.

    Raises
    ------
    Mismatch
        The sentence says why.
    """
    try:
        if path.suffix == ".bit":
            bitfile.parse(_read(path, _MAX_BIT_BYTES))
        elif path.suffix == ".hwh":
            _check_hwh(_read(path, _MAX_HWH_BYTES))
    except ValueError as error:
        raise Mismatch(
            f"{path} is no {path.suffix} file: {error}", "build or download the overlay again"
        ) from None


def _check_hwh(data: bytes) -> None:
    if _DECLARES.search(data) or b"\0" in data:
        raise ValueError("it declares a document type or entities")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError) as error:  # an encoding that nobody knows
        raise ValueError(f"it is not XML: {error}") from None
    if root.tag != _ROOT:
        raise ValueError(f"its root is {root.tag[:80]}, not {_ROOT}")
    if root.find("MODULES") is None:
        raise ValueError("it lists no modules")


def _read(path: Path, limit: int) -> bytes:
    size = path.stat().st_size
    if size > limit:
        raise ValueError(f"it has {size} bytes, at most {limit} are read")
    return path.read_bytes()
