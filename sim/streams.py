"""Drives and watches the ports of a block in lock step with its clock: streams, and bare signals.

A cycle has two halves: what a bench sets before :meth:`Lockstep.settle` is what the block sees in
this cycle, what it gets between `settle` and :meth:`Lockstep.edge` is what the block answers in the
same cycle. Cycle numbers of transfers are therefore exact, and so are latencies.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge

from runner import start

__all__ = ["Lockstep", "Pauses", "Sink", "Source", "bits", "coin", "members", "pause_axi"]

#: Cycles for which the probability of a pause stays as it was drawn.
_PHASE = 24


class Pauses:
    """Whether to pause, cycle by cycle: phases without a pause, with some, and with many.

    `stall` is the probability of a pause in a middling phase; 0 never pauses.
    """

    def __init__(self, stall: float) -> None:
        self.stall, self.now, self.left = stall, 0.0, 0

    def __bool__(self) -> bool:
        if not self.stall:
            return False
        if not self.left:
            self.now, self.left = random.choice((0.0, self.stall, 0.9)), _PHASE
        self.left -= 1
        return random.random() < self.now


def coin(probability: float) -> Iterator[bool]:
    """Endless pauses for a channel of cocotbext-axi."""
    generator = random.Random(random.getrandbits(64))
    while True:
        yield generator.random() < probability


def pause_axi(bus: Any, stall: float, sides: str = "write_if read_if") -> None:
    """Random pauses on every channel of an AXI memory or master of cocotbext-axi."""
    channels = {"write_if": ("aw", "w", "b"), "read_if": ("ar", "r")}
    for side in sides.split() if stall else ():
        for name in channels[side]:
            getattr(getattr(bus, side), f"{name}_channel").set_pause_generator(coin(stall))


def bits(layout: Any, value: Any) -> int:
    """The bits of `value`; of a dictionary, those that an Amaranth `layout` gives its fields."""
    return value if isinstance(value, int) else layout.const(value).as_bits()


def members(layout: Any, value: int) -> Any:
    """`value` with the fields of an Amaranth `layout` as attributes; itself without a layout."""
    return value if layout is None else layout.from_bits(value)


class Source:
    """Producer of an input stream; sends what is in `queue`, in order.

    `sent` holds the cycle of each transfer. Valid and payload stay until the transfer.
    """

    def __init__(self, bench: Lockstep, name: str, layout: Any, stall: float) -> None:
        self.bench, self.name, self.layout = bench, name, layout
        self.pauses = Pauses(stall)
        self.queue: deque[Any] = deque()
        self.sent: list[int] = []
        self.valid = False

    def drive(self) -> None:
        if not self.valid and self.queue and not self.pauses:
            self.valid = True
            self.bench.set(f"{self.name}__payload", bits(self.layout, self.queue[0]))
        self.bench.set(f"{self.name}__valid", self.valid)

    def sample(self) -> None:
        if self.valid and self.bench.get(f"{self.name}__ready"):
            self.queue.popleft()
            self.sent.append(self.bench.cycle)
            self.valid = False

    def forget(self) -> None:
        self.queue.clear()
        self.sent.clear()
        self.valid = False


class Sink:
    """Consumer of an output stream; `got` holds (cycle, payload) of each transfer.

    `offered` is the cycle in which each of them was valid first. A payload that changes, or a valid
    that falls, before its transfer fails the bench. `pauses` may be replaced by any callable, or
    value, that says whether to hold back.
    """

    def __init__(self, bench: Lockstep, name: str, layout: Any, stall: float) -> None:
        self.bench, self.name, self.layout = bench, name, layout
        self.pauses: Any = Pauses(stall)
        self.got: list[tuple[int, Any]] = []
        self.offered: list[int] = []
        self.held: int | None = None
        self.ready = False

    def drive(self) -> None:
        self.ready = not self.pauses
        self.bench.set(f"{self.name}__ready", self.ready)

    def sample(self) -> None:
        bench, name = self.bench, self.name
        if not bench.get(f"{name}__valid"):
            assert self.held is None, f"{name}: valid fell before the transfer, cycle {bench.cycle}"
            return
        payload = bench.get(f"{name}__payload")
        if self.held is None:
            self.offered.append(bench.cycle)
        else:
            assert payload == self.held, f"{name}: the payload changed in cycle {bench.cycle}"
        self.held = None if self.ready else payload
        if self.ready:
            self.got.append((bench.cycle, members(self.layout, payload)))

    def forget(self) -> None:
        self.got.clear()
        self.offered.clear()
        self.held = None


class Lockstep:
    """The clock of a bench, and the streams that it drives.

    `watch` functions are called in every cycle, when all has settled. `cycle` counts from the first
    cycle out of the latest reset.
    """

    def __init__(self, dut: Any) -> None:
        self.dut, self.cycle = dut, 0
        self.parts: list[Any] = []
        self.watches: list[Callable[[], None]] = []
        self._driven: dict[str, int] = {}
        self._handles: dict[str, Any] = {}

    def add(self, part: Any) -> Any:
        """Call ``part.drive()`` before, ``part.sample()`` after a cycle has settled, and
        ``part.forget()`` in a reset."""
        self.parts.append(part)
        return part

    def source(self, name: str, layout: Any = None, stall: float = 0.0) -> Source:
        """Drive the input stream `name`."""
        return self.add(Source(self, name, layout, stall))

    def sink(self, name: str, layout: Any = None, stall: float = 0.0) -> Sink:
        """Take what comes on the output stream `name`."""
        return self.add(Sink(self, name, layout, stall))

    def watch(self, function: Callable[[], None]) -> None:
        """Call `function` in every cycle from now on."""
        self.watches.append(function)

    def set(self, name: str, value: int) -> None:
        """Drive an input."""
        value = int(value)
        if self._driven.get(name) != value:
            self._driven[name] = value
            self._handle(name).value = value

    def get(self, name: str) -> int:
        """What a port holds; unsigned."""
        return int(self._handle(name).value)

    def _handle(self, name: str) -> Any:
        if name not in self._handles:
            self._handles[name] = getattr(self.dut, name)
        return self._handles[name]

    async def begin(self, **inputs: int) -> Lockstep:
        """Set `inputs`, start the clock and reset the block."""
        for name, value in inputs.items():
            self.set(name, value)
        await start(self.dut)
        await self.reset()
        return self

    async def reset(self, **inputs: int) -> None:
        """Reset the block for a cycle; streams forget what they sent, got, and wanted to send.

        Returns in cycle 0, the first out of reset.
        """
        for part in self.parts:
            part.forget()
        for name, value in inputs.items():
            self.set(name, value)
        self.set("rst", 1)
        await RisingEdge(self.dut.clk)
        self.set("rst", 0)
        self.cycle = 0

    async def settle(self) -> None:
        """Drive the streams of this cycle; returns when the block has answered."""
        for part in self.parts:
            part.drive()
        await ReadOnly()
        for part in self.parts:
            part.sample()
        for function in self.watches:
            function()

    async def edge(self) -> None:
        """End the cycle."""
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    async def step(self, cycles: int = 1) -> None:
        """Whole cycles."""
        for _ in range(cycles):
            await self.settle()
            await self.edge()

    async def until(self, condition: Callable[[], Any], limit: int = 20_000) -> None:
        """Step to the end of the first cycle in which `condition` holds; fails after `limit`."""
        for _ in range(limit):
            await self.settle()
            found = condition()
            await self.edge()
            if found:
                return
        raise AssertionError(f"what the bench waits for did not come in {limit} cycles")
