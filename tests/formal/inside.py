"""Looking inside a block: its submodules, the memory of its FIFOs, and what breaking it does.

A property is stated on ports. What makes it inductive, where the data are meanwhile, needs a view
of the state, and this module gives one without a second description of the block.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from amaranth.hdl import Assert, C, Elaboratable, Module, Mux, Signal, Value, ValueLike
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered

__all__ = ["Followed", "mutant", "opened"]

Class = TypeVar("Class", bound=type)


def opened(part: Elaboratable) -> Any:
    """The :class:`Module` of `part`, which is elaborated now and as this module later."""
    module = part.elaborate("formal")
    part.elaborate = lambda platform: module
    return module


def mutant(block: Class, old: str, new: str) -> Class:
    """`block`, from the source of its module with `old`, which occurs once, replaced by `new`.

    Raises
    ------
    ValueError
        The source does not have `old` exactly once, so the mutant would not be the intended one.
    """
    module = sys.modules[block.__module__]
    source = inspect.getsource(module)
    if source.count(old) != 1:
        raise ValueError(f"{old!r} occurs {source.count(old)} times in {module.__name__}")
    names: dict[str, Any] = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), names)
    return names[block.__name__]  # type: ignore[no-any-return]


class Followed:
    """One entry, any one, on its way from a `push` to its `pop`, seen from the ports alone.

    A free input, `pick`, chooses the entry when it is pushed. A property of the followed entry is
    thus one of every entry. `clear` empties what the entries are in, and wins.

    Attributes
    ----------
    inside : entries pushed and not popped, this one and others.
    following : the chosen entry is inside.
    value : what was pushed.
    ahead : entries that have to be popped before it.
    head : it is the next to be popped.
    """

    def __init__(
        self,
        m: Module,
        *,
        push: ValueLike,
        payload: ValueLike,
        pop: ValueLike,
        pick: ValueLike,
        limit: int,
        clear: ValueLike = 0,
    ) -> None:
        payload = Value.cast(payload)
        self.inside = Signal(range(limit + 1))
        self.following, self.value = Signal(), Signal(len(payload))
        self.ahead = Signal(range(limit + 1))
        self.head = self.following & (self.ahead == 0)
        self.taking = push & pick & ~self.following
        self._m = m
        m.d.sync += self.inside.eq(self.inside + push - pop)
        with m.If(self.taking):
            m.d.sync += [
                self.following.eq(1), self.value.eq(payload), self.ahead.eq(self.inside - pop)
            ]
        with m.Elif(pop & self.following):
            m.d.sync += [self.following.eq(self.ahead != 0), self.ahead.eq(self.ahead - 1)]
        with m.If(clear):
            m.d.sync += [self.following.eq(0), self.inside.eq(0)]

    def lies_in(
        self,
        queue: SyncFIFO | SyncFIFOBuffered,
        *,
        beyond: ValueLike = 0,
        every: Callable[[Value], Value] | None = None,
    ) -> None:
        """Invariant: the followed entry is in `queue`, at its place.

        Parameters
        ----------
        beyond : entries, the oldest, that have left `queue` and are not popped; they are the
            caller's to place.
        every : holds for each entry in `queue`, the followed one or not.
        """
        m, module = self._m, opened(queue)
        storage = module.submodules.storage
        produce, consume = storage.write_ports[0].addr, storage.read_ports[0].addr
        slots = storage.depth

        def probe(address: ValueLike) -> Value:
            port = storage.read_port(domain="comb")
            m.d.comb += port.addr.eq(address)
            return port.data

        def place(slot: ValueLike) -> Value:
            """Entries of the memory that leave before the one in `slot`."""
            slot, count = Value.cast(slot), Signal(range(slots))
            m.d.comb += count.eq(Mux(slot >= consume, slot - consume, slot + slots - consume))
            return count

        # SyncFIFOBuffered has one entry more than its memory: the output register.
        register = queue.r_rdy if isinstance(queue, SyncFIFOBuffered) else C(0, 1)
        slot = Signal.like(produce)
        with m.If(self.taking):
            m.d.sync += slot.eq(produce)
        slot_place, slot_data = place(slot), probe(slot)
        m.d.comb += [
            Assert(self.inside == queue.level + beyond),
            Assert(queue.level <= queue.depth),
        ]
        with m.If(self.following):
            m.d.comb += Assert(self.ahead < self.inside)
            with m.If((self.ahead == beyond) & register):
                m.d.comb += Assert(queue.r_data == self.value)
            with m.Elif(self.ahead >= beyond):
                m.d.comb += [
                    Assert(slot < slots),
                    Assert(self.ahead == slot_place + register + beyond),
                    Assert(slot_data == self.value),
                ]
        if every is not None:
            m.d.comb += Assert(~register | every(queue.r_data))
            for s in range(slots):
                m.d.comb += Assert((place(s) + register >= queue.level) | every(probe(s)))
