"""The arena in buffers of pynq, the registers through its MMIO.

numpy and the contract only: pynq itself comes in through the constructor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.driver.transport import Transport
from weft.errors import DeviceError
from weft_hw.registers import REGISTERS, STATUS_RUNNING

from .identity import sentence

__all__ = ["PAGE", "MemoryExhausted", "Placement", "PynqTransport"]

#: First pause between polls, and how much longer the next one is. With the first poll at the
#: predicted end, six polls reach about five times the predicted time.
_PAUSE_S = 0.0002
_GROWTH = 1.6
#: Buffers start and end at multiples of this.
PAGE = 4096


class MemoryExhausted(DeviceError):
    """The board has not enough contiguous memory left."""

    code = "memory"


@dataclass
class Placement:
    """Buffers of one program.

    addresses : physical, one for each buffer.
    dirty : indices of buffers that the host wrote since the last flush.
    wanted : indices of those that the accelerator writes and the host reads.
    """

    buffers: list[Any] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)
    dirty: set[int] = field(default_factory=set)
    wanted: set[int] = field(default_factory=set)

    def array(self, index: int) -> NDArray[np.uint8]:
        """A plain view of one buffer: slices of pynq's own arrays forget where they start."""
        return np.asarray(self.buffers[index]).view(np.ndarray)


class PynqTransport(Transport):
    """One accelerator of an overlay.

    Parameters
    ----------
    ip : object with ``mmio.read(offset)`` and ``mmio.write(offset, value)``
        The driver that pynq bound; ``irq.wait()`` where `interrupts` is set.
    allocate : callable(shape, dtype) -> buffer
        ``pynq.allocate`` for the right device.
    clock_mhz : float
    interrupts : bool
        Wait for the interrupt; only a local board can. Otherwise the status is polled.
    timeout_s : float
        A run that takes longer is given up, whatever its limit in cycles.
    """

    def __init__(
        self,
        ip: Any,
        allocate: Callable[..., Any],
        clock_mhz: float,
        *,
        interrupts: bool = False,
        timeout_s: float = 120.0,
    ) -> None:
        self._ip, self._allocate = ip, allocate
        self.clock_mhz, self.interrupts, self.timeout_s = clock_mhz, interrupts, timeout_s
        #: Buffers of the program that runs next.
        self.placement = Placement()
        #: Cycles that the next run is expected to take.
        self.expected_cycles = 0
        #: Register accesses so far.
        self.accesses = 0

    # -- registers --------------------------------------------------------------------------------

    def read32(self, offset: int) -> int:
        self.accesses += 1
        return int(self._call(self._ip.mmio.read, offset)) & 0xFFFF_FFFF

    def write32(self, offset: int, value: int) -> None:
        self.accesses += 1
        self._call(self._ip.mmio.write, offset, int(value) & 0xFFFF_FFFF)

    # -- memory -----------------------------------------------------------------------------------

    def place(self, sizes: Sequence[int]) -> Placement:
        """New zeroed buffers of `sizes` bytes.

        Raises
        ------
        MemoryExhausted
            The board cannot give so much; nothing is held then.
        """
        found = Placement()
        for size in sizes:
            wanted = -(-size // PAGE) * PAGE
            try:
                buffer = self._allocate((wanted,), np.uint8)
                found.buffers.append(buffer)
                # A remote board that has no memory answers with a buffer that has no address.
                address = int(buffer.physical_address)
                if not address:
                    raise MemoryError("no address")
            except Exception as error:
                self.release(found)
                raise MemoryExhausted(
                    f"the board has no {wanted} contiguous bytes left "
                    f"({sum(sizes)} are needed): {sentence(error)}",
                    "unload programs, close other processes that hold buffers, or raise the cma= "
                    "kernel argument and restart the board",
                ) from error
            if address % PAGE:
                self.release(found)
                raise DeviceError(f"a buffer starts at {address:#x}, not at a page of {PAGE}")
            buffer[:] = 0
            found.addresses.append(address)
        found.dirty = set(range(len(sizes)))
        return found

    @property
    def arena_address(self) -> int:
        return min(self.placement.addresses)

    def flush(self) -> None:
        for index in sorted(self.placement.dirty):
            self._call(self.placement.buffers[index].flush)
        self.placement.dirty.clear()

    def invalidate(self) -> None:
        for index in sorted(self.placement.wanted):
            self.fetch(self.placement.buffers[index])

    def fetch(self, buffer: Any) -> None:
        """Make what the accelerator wrote to one buffer visible to the host."""
        self._call(buffer.invalidate)

    @staticmethod
    def release(placement: Placement) -> None:
        """Give buffers back; a board that is gone has them no more."""
        for buffer in placement.buffers:
            try:
                buffer.freebuffer()
            except Exception:  # gone with the board, or never given
                buffer.freed = True
        placement.buffers, placement.addresses = [], []

    # -- waiting ----------------------------------------------------------------------------------

    def limit(self, cycles: int) -> str:
        return f"{self.timeout_s:g} s"

    def wait(self, cycles: int) -> bool:
        if self.interrupts:
            return self._wait_for_interrupt()
        end = time.monotonic() + self.timeout_s
        expected_s = self.expected_cycles / (self.clock_mhz * 1e6)
        time.sleep(min(self.timeout_s, expected_s))
        pause = max(_PAUSE_S, 0.25 * expected_s)
        while self.read32(REGISTERS["status"].offset) & STATUS_RUNNING:
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause *= _GROWTH
        return True

    def _wait_for_interrupt(self) -> bool:
        async def wait() -> None:
            await asyncio.wait_for(self._ip.irq.wait(), self.timeout_s)

        try:
            asyncio.run(wait())
        except (TimeoutError, asyncio.TimeoutError):
            return False
        return True

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function`, whose failure on the way to the board becomes a DeviceError."""
        try:
            return function(*arguments)
        except (MemoryError, ValueError, AttributeError, TypeError):
            raise
        except Exception as error:
            raise DeviceError(
                f"the board does not answer as it should: {sentence(error)}",
                "check its power and network, then connect again",
            ) from error
