"""Files of vectors, and which file of texts they were made of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weft.errors import Mismatch, UsageError
from weft.files.outputs import write_file
from weft.files.untrusted import parse_json
from weft.program.npy import read_npy, write_npy

__all__ = ["DIMENSIONS", "read_vectors", "require_embedded", "write_vectors"]

#: Of all-MiniLM-L6-v2.
DIMENSIONS = 384
_REMEDY = "write one with weft embed"


def _side(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _origin(vectors: bytes, texts: bytes) -> dict[str, str]:
    digests = (hashlib.sha256(data).hexdigest() for data in (vectors, texts))
    return dict(zip(("vectors_sha256", "texts_sha256"), digests))


def write_vectors(path: Path, vectors: NDArray[np.float32], texts: bytes) -> None:
    """Write float32 [texts, DIMENSIONS] as .npy, and ``NAME.json`` with the digests of both files.

    Parameters
    ----------
    texts : content of the file that was embedded

    Raises
    ------
    UsageError
        A file cannot be written.
    """
    write_npy(path, vectors)
    if path.is_file():
        made = _origin(path.read_bytes(), texts)
        write_file(_side(path), json.dumps(made, indent=1) + "\n")


def read_vectors(path: Path) -> NDArray[np.float32]:
    """Float32 [texts, DIMENSIONS] of a file that :func:`write_vectors` wrote.

    Raises
    ------
    UsageError
        It cannot be read, or holds something else; NaN and infinity are something else.
    """
    found = read_npy(path)
    if found.ndim != 2 or found.shape[1] != DIMENSIONS or found.dtype.kind != "f":
        raise UsageError(
            f"{path} holds {found.dtype} {list(found.shape)}, not vectors [texts, {DIMENSIONS}]",
            _REMEDY,
        )
    if not len(found):
        raise UsageError(f"{path} holds no vector", _REMEDY)
    if not np.all(np.isfinite(found)):
        row = int(np.flatnonzero(~np.all(np.isfinite(found), axis=1))[0]) + 1
        raise UsageError(f"vector {row} of {path} holds NaN or infinity", _REMEDY)
    return found.astype(np.float32)


def require_embedded(
    path: Path, vectors: int, file: Path, texts: bytes, lines: int
) -> None:
    """Refuse a file of texts that the vectors in `path` were not made of.

    Parameters
    ----------
    vectors, lines : how many there are
    file, texts : the file of texts and its content

    Raises
    ------
    UsageError
        Their numbers differ, or nothing says that they belong together.
    Mismatch
        The vectors were made of another file.
    """
    if lines != vectors:
        raise UsageError(
            f"{file} has {lines} lines, {path} has {vectors} vectors",
            "give the file that was embedded",
        )
    side = _side(path)
    try:
        said = parse_json(side.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{side} does not say which texts {path} was made of: {error}",
            "embed the texts again, or leave --texts out",
        ) from None
    if said != _origin(path.read_bytes(), texts):
        raise Mismatch(
            f"{path} was not made of {file}: its digests in {side.name} are others",
            "give the file that was embedded, unchanged, or embed it again",
        )
