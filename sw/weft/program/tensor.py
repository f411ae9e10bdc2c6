"""Matrices in the arena, and views of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError
from weft_hw.config import GRANULE_BYTES

__all__ = ["MAX_ARENA_BYTES", "TensorSpec", "is_int", "row_bytes_of"]

#: The arena_bytes register has 32 bits.
MAX_ARENA_BYTES = (1 << 32) - 1

_DTYPES: dict[str, np.dtype[Any]] = {
    "int8": np.dtype("<i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
}


def is_int(value: object) -> bool:
    """Whether `value` is an int, and no bool."""
    return type(value) is int


@dataclass(frozen=True)
class TensorSpec:
    """A matrix in the arena: row r starts at byte ``offset + r * pitch``.

    Parameters
    ----------
    name : str
    dtype : "int8", "int16" or "int32"; little endian.
    shape : (rows, cols), each >= 1
    offset, pitch : int, bytes; multiples of 16.

    Raises
    ------
    UsageError
        A value breaks a rule.
    """

    name: str
    dtype: str
    shape: tuple[int, int]
    offset: int
    pitch: int

    def __post_init__(self) -> None:
        def rule(ok: bool, sentence: str) -> None:
            if not ok:
                raise UsageError(f"tensor {self.name!r}: {sentence}")

        rule(isinstance(self.name, str) and self.name != "", "name must be a string, not empty")
        rule(
            self.dtype in _DTYPES, f"dtype must be one of {', '.join(_DTYPES)}, not {self.dtype!r}"
        )
        shape = self.shape
        rule(
            isinstance(shape, tuple)
            and len(shape) == 2
            and all(is_int(n) and 1 <= n < 1 << 32 for n in shape),
            f"shape must be two positive ints (rows, cols), not {shape!r}",
        )
        for name in ("offset", "pitch"):
            value = getattr(self, name)
            rule(
                is_int(value) and value >= 0 and value % GRANULE_BYTES == 0,
                f"{name} must be a multiple of {GRANULE_BYTES}, not {value!r}",
            )
        rule(self.pitch <= MAX_ARENA_BYTES, f"pitch must be below 2**32, not {self.pitch}")
        rule(
            self.pitch >= self.row_bytes,
            f"pitch must be at least the {self.row_bytes} bytes of a row, not {self.pitch}",
        )

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Little-endian numpy type of an element."""
        return _DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Bytes of the elements of one row."""
        return self.shape[1] * self.numpy_dtype.itemsize

    @property
    def stride(self) -> int:
        """Bytes from one row to the next, in a view: a single row's pitch may be any number."""
        return self.pitch if self.shape[0] > 1 else self.row_bytes

    @property
    def padded_row_bytes(self) -> int:
        """Bytes of a row that a DMA may touch: up to the next multiple of 16."""
        return -(-self.row_bytes // GRANULE_BYTES) * GRANULE_BYTES

    @property
    def end(self) -> int:
        """First byte behind the last row, padding included."""
        return self.offset + (self.shape[0] - 1) * self.pitch + self.padded_row_bytes

    @property
    def bytes(self) -> int:
        """Bytes of the elements, without padding."""
        return self.shape[0] * self.row_bytes


def row_bytes_of(buffer: NDArray[np.uint8], spec: TensorSpec) -> NDArray[np.uint8]:
    """View uint8 [rows, row_bytes] of a tensor in the arena."""
    if buffer.dtype != np.uint8 or buffer.ndim != 1 or len(buffer) < spec.end:
        raise UsageError(
            f"the arena must be uint8 [>= {spec.end}], not {buffer.dtype} {list(buffer.shape)}"
        )
    shape, step = (spec.shape[0], spec.row_bytes), buffer.strides[0]
    strides = (spec.stride * step, step)
    return np.lib.stride_tricks.as_strided(buffer[spec.offset :], shape, strides)
