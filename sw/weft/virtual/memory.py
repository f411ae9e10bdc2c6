"""Contiguous memory of a virtual board: buffers with separate copies in cache and DRAM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUFFERS_MAX", "PAGE", "POISON", "Buffer", "BufferPool", "OutOfMemory"]

PAGE = 4096
#: What freed memory holds.
POISON = 0xA5
#: Buffers that may live at a time.
BUFFERS_MAX = 1024


class OutOfMemory(Exception):
    """The pool has no such hole left."""


@dataclass
class Buffer:
    """One buffer: `offset`, `size` in bytes of the pool, and what the processor's cache holds."""

    offset: int
    size: int
    cache: NDArray[np.uint8]


class BufferPool:
    """Buffers in `dram`, uint8 [size], whose first byte has the physical address `base`.

    The processor writes and reads the cache; only a flush brings that to the DRAM, and only an
    invalidation shows the processor what is there. On a board a cache may do either by itself at
    any time, so a program that works here does not depend on it.
    """

    def __init__(self, dram: NDArray[np.uint8], base: int) -> None:
        self.dram, self.base = dram, base
        self.buffers: dict[str, Buffer] = {}
        self._next = 1

    def attach(self, dram: NDArray[np.uint8]) -> None:
        """Use other memory from now on, with the same contents."""
        for buffer in self.buffers.values():
            part = slice(buffer.offset, buffer.offset + buffer.size)
            dram[part] = self.dram[part]
        self.dram = dram

    def allocate(self, size: int) -> str:
        """Identifier of a new buffer of `size` bytes at a page.

        Raises
        ------
        OutOfMemory
            No hole is large enough, or too many buffers live.
        """
        if not 0 < size <= len(self.dram):
            raise OutOfMemory(f"{size} bytes do not fit into {len(self.dram)} bytes")
        if len(self.buffers) >= BUFFERS_MAX:
            raise OutOfMemory(f"{BUFFERS_MAX} buffers are in use")
        pages = -(-size // PAGE) * PAGE
        at = next((first for first, end in self.holes() if end - first >= pages), None)
        if at is None:
            used = sum(b.size for b in self.buffers.values())
            raise OutOfMemory(f"no hole of {size} bytes; {used} of {len(self.dram)} are in use")
        name = f"buffer-{self._next}"
        self._next += 1
        self.dram[at : at + pages] = POISON
        self.buffers[name] = Buffer(at, size, np.full(size, POISON, np.uint8))
        return name

    def free(self, name: str) -> None:
        """Give a buffer back; its memory is poisoned."""
        buffer = self.buffers.pop(name)
        self.dram[buffer.offset : buffer.offset + buffer.size] = POISON

    def address(self, name: str) -> int:
        """Physical address of a buffer."""
        return self.base + self.buffers[name].offset

    def flush(self, name: str) -> None:
        """Cache to DRAM."""
        buffer = self.buffers[name]
        self.dram[buffer.offset : buffer.offset + buffer.size] = buffer.cache

    def invalidate(self, name: str) -> None:
        """DRAM to cache."""
        buffer = self.buffers[name]
        buffer.cache[:] = self.dram[buffer.offset : buffer.offset + buffer.size]

    def holes(self) -> list[tuple[int, int]]:
        """(first, end) offsets between the live buffers, to the page."""
        found, at = [], 0
        for buffer in sorted(self.buffers.values(), key=lambda b: b.offset):
            if buffer.offset > at:
                found.append((at, buffer.offset))
            at = -(-(buffer.offset + buffer.size) // PAGE) * PAGE
        if at < len(self.dram):
            found.append((at, len(self.dram)))
        return found
