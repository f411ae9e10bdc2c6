"""Tensors of any rank in the arena, and views of their elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError
from weft.files.untrusted import check_name
from weft_hw.config import GRANULE_BYTES

__all__ = ["MAX_ARENA_BYTES", "MAX_RANK", "PIXEL_PITCH", "Array", "TensorSpec", "is_int", "rules"]

#: int8, int16 or int32, of any rank.
Array = NDArray[np.signedinteger[Any]]
#: The arena_bytes register has 32 bits.
MAX_ARENA_BYTES = (1 << 32) - 1
MAX_RANK = 8
#: Pixels of up to as many bytes may lie this far apart.
PIXEL_PITCH = 4

_DTYPES: dict[str, np.dtype[Any]] = {
    "int8": np.dtype("<i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
}


def rules(subject: str) -> Callable[[bool, str], None]:
    """``rule(ok, sentence)`` of what it returns raises UsageError about `subject` unless `ok`."""

    def rule(ok: bool, sentence: str) -> None:
        if not ok:
            raise UsageError(f"{subject}: {sentence}")

    return rule


def is_int(value: object) -> bool:
    """Whether `value` is an int, and no bool."""
    return type(value) is int


@dataclass(frozen=True)
class TensorSpec:
    """A tensor in the arena: element [i, j, k] is at ``offset + i * pitches[0] + j * pitches[1]``
    plus k elements.

    Its bytes form *runs*, which a DMA moves in whole granules of 16 bytes: the innermost
    dimension, or the two innermost where pixels lie 4 bytes apart.

    Parameters
    ----------
    name : may name a file, see :data:`weft.files.untrusted.NAME`: outputs are written under theirs
    dtype : "int8", "int16" or "int32"; little endian.
    shape : 1 to 8 ints, each >= 1
    offset : int, bytes; a multiple of 16.
    pitches : bytes between successive indices of every dimension but the innermost, which is dense
        Multiples of 16, at least what they step over; the last may be 4 where the innermost
        dimension has at most 4 bytes.

    Raises
    ------
    UsageError
        A value breaks a rule.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    pitches: tuple[int, ...]

    def __post_init__(self) -> None:
        rule = rules(f"tensor {self.name!r}")
        try:
            check_name("the name", self.name)
        except ValueError as error:
            rule(False, str(error))
        rule(
            self.dtype in _DTYPES, f"dtype must be one of {', '.join(_DTYPES)}, not {self.dtype!r}"
        )
        shape, pitches = self.shape, self.pitches
        rule(
            isinstance(shape, tuple)
            and 1 <= len(shape) <= MAX_RANK
            and all(is_int(n) and 1 <= n < 1 << 32 for n in shape),
            f"shape must be 1 to {MAX_RANK} positive ints, not {shape!r}",
        )
        rule(
            isinstance(pitches, tuple)
            and len(pitches) == len(shape) - 1
            and all(is_int(p) and 0 <= p <= MAX_ARENA_BYTES for p in pitches),
            f"pitches must be {len(shape) - 1} ints below 2**32, not {pitches!r}",
        )
        rule(
            is_int(self.offset) and self.offset >= 0 and self.offset % GRANULE_BYTES == 0,
            f"offset must be a multiple of {GRANULE_BYTES}, not {self.offset!r}",
        )
        extent = self.row_bytes
        for at in reversed(range(len(pitches))):
            pitch = pitches[at]
            rule(
                pitch % GRANULE_BYTES == 0 or (at == len(pitches) - 1 and self.has_pixels),
                f"a pitch must be a multiple of {GRANULE_BYTES}, or {PIXEL_PITCH} between pixels "
                f"of at most {PIXEL_PITCH} bytes, not {pitch}",
            )
            rule(
                pitch >= extent,
                f"pitch {at} must be at least the {extent} bytes that it steps over, not {pitch}",
            )
            extent += (shape[at] - 1) * pitch

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Little-endian numpy type of an element."""
        return _DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Bytes of the elements of the innermost dimension."""
        return self.shape[-1] * self.numpy_dtype.itemsize

    @property
    def has_pixels(self) -> bool:
        """Whether the innermost dimension lies every 4 bytes."""
        return self.pitches[-1:] == (PIXEL_PITCH,) and self.row_bytes <= PIXEL_PITCH

    @property
    def run_bytes(self) -> int:
        """Bytes of a run that a DMA may touch: up to the next multiple of 16."""
        pixels = (self.shape[-2] - 1) * PIXEL_PITCH if self.has_pixels else 0
        return -(-(pixels + self.row_bytes) // GRANULE_BYTES) * GRANULE_BYTES

    @property
    def run_levels(self) -> tuple[tuple[int, int], ...]:
        """(pitch, count) of each dimension that steps from run to run, outermost first."""
        outer = len(self.pitches) - self.has_pixels
        return tuple(zip(self.pitches[:outer], self.shape))

    @property
    def end(self) -> int:
        """First byte behind the last run, padding included."""
        steps = sum(pitch * (count - 1) for pitch, count in self.run_levels)
        return self.offset + steps + self.run_bytes

    @property
    def bytes(self) -> int:
        """Bytes of the elements, without padding."""
        return math.prod(self.shape) * self.numpy_dtype.itemsize

    def check(self, kind: str, array: Array) -> None:
        """Refuse an array of another shape or dtype, in a UsageError that holds both.

        `kind` is "input" or another word for it.
        """
        given = np.asarray(array)
        if given.shape != self.shape or given.dtype.newbyteorder("<") != self.numpy_dtype:
            raise UsageError(
                f"{kind} {self.name!r} must be {self.dtype} {list(self.shape)}, "
                f"not {given.dtype} {list(given.shape)}"
            )

    def view(self, buffer: NDArray[np.uint8]) -> Array:
        """The elements in `buffer`, contiguous uint8 [>= end], as a view of the tensor's shape.

        Raises UsageError where the buffer is too small, or is none.
        """
        if buffer.dtype != np.uint8 or buffer.ndim != 1 or len(buffer) < self.end:
            raise UsageError(
                f"the arena must be uint8 [>= {self.end}], not {buffer.dtype} {list(buffer.shape)}"
            )
        strides = (*self._strides, self.numpy_dtype.itemsize)
        found: Array = np.ndarray(self.shape, self.numpy_dtype, buffer, self.offset, strides)
        return found

    def read(self, buffer: NDArray[np.uint8]) -> Array:
        """Copy of the elements in `buffer`, as :meth:`view`."""
        return np.array(self.view(buffer))

    def write(self, buffer: NDArray[np.uint8], array: Array) -> None:
        """Fill the tensor's runs in `buffer`: the elements of `array`, and zeros as their padding.

        The padding is written so that no run depends on what an earlier one left there.
        """
        self.view(buffer)[...] = array
        gap = (PIXEL_PITCH if self.has_pixels else self.run_bytes) - self.row_bytes
        self._clear(buffer, self.row_bytes, gap, len(self.pitches))
        if self.has_pixels:
            pixels = self.shape[-2] * PIXEL_PITCH
            self._clear(buffer, pixels, self.run_bytes - pixels, len(self.pitches) - 1)

    @property
    def _strides(self) -> tuple[int, ...]:
        """Pitches, without those that nothing steps by: these may be any number."""
        return tuple(p if n > 1 else 0 for p, n in zip(self.pitches, self.shape))

    def _clear(self, buffer: NDArray[np.uint8], first: int, size: int, outer: int) -> None:
        """Zero `size` bytes from `first` in each item of the `outer` outermost dimensions."""
        if size > 0:
            shape, strides = (*self.shape[:outer], size), (*self._strides[:outer], 1)
            np.ndarray(shape, np.uint8, buffer, self.offset + first, strides)[...] = 0
