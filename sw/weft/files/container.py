"""Containers: a header in JSON, the payload, a digest. Nothing is pickled. Standard library only.

Little endian::

    8   magic
    4   format version
    4   bytes of the header
    8   bytes of the whole file
    .   header, JSON in UTF-8
    .   payload
    32  SHA-256 of everything before
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.errors import ProgramFileError
from weft.files.untrusted import parse_json

__all__ = ["Container"]

_PREAMBLE = struct.Struct("<8sIIQ")
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Container:
    """A kind of file.

    Parameters
    ----------
    magic : 8 bytes
    version : int
    what : for messages: "a Weft program"
    """

    magic: bytes
    version: int
    what: str

    def pack(self, header: Mapping[str, Any], payload: bytes) -> bytes:
        """The content of a file."""
        text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
        total = _PREAMBLE.size + len(text) + len(payload) + _DIGEST_BYTES
        body = _PREAMBLE.pack(self.magic, self.version, len(text), total) + text + payload
        return body + hashlib.sha256(body).digest()

    def unpack(self, raw: bytes, source: str) -> tuple[dict[str, Any], bytes]:
        """(header, payload) of a file whose length and digest are right.

        Raises
        ------
        ProgramFileError
            It is another kind of file, of another version, truncated, or was changed; `source` is
            its name in the sentence.
        """

        def rule(ok: bool, sentence: str, remedy: str = "") -> None:
            if not ok:
                raise ProgramFileError(f"{source}: {sentence}", remedy)

        least = _PREAMBLE.size + _DIGEST_BYTES
        is_one = raw[: len(self.magic)] == self.magic[: len(raw)] and len(raw) > 0
        rule(is_one, f"is not {self.what}")
        rule(len(raw) >= least, f"is truncated: it has {len(raw)} bytes, the smallest has {least}")
        _, version, header_bytes, total = _PREAMBLE.unpack_from(raw)
        rule(
            version == self.version,
            f"has format version {version}, this Weft reads version {self.version}",
            "compile it again",
        )
        rule(len(raw) >= total, f"is truncated: it has {len(raw)} bytes of {total}")
        rule(len(raw) == total, f"has {len(raw)} bytes, {len(raw) - total} more than it declares")
        rule(
            hashlib.sha256(raw[:-_DIGEST_BYTES]).digest() == raw[-_DIGEST_BYTES:],
            "was changed after it was written: its SHA-256 does not match",
        )
        end = _PREAMBLE.size + header_bytes
        rule(
            end <= total - _DIGEST_BYTES,
            f"declares a header of {header_bytes} bytes, beyond its end",
        )
        try:
            header = parse_json(raw[_PREAMBLE.size : end])
        except ValueError as error:
            raise ProgramFileError(f"{source}: the header is no JSON: {error}") from None
        rule(isinstance(header, dict), "has a header that is not a JSON object")
        return header, raw[end:-_DIGEST_BYTES]
