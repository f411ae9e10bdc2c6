"""Looking inside a block: its submodules, the memory of its FIFOs, and what breaking it does.

A property is stated on ports. What makes it inductive, where the data are meanwhile, needs a view of
the state, and this module gives one without a second description of the block.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any, TypeVar

from amaranth.hdl import Assert, Elaboratable, Module, Mux, Signal, Value, ValueLike
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
    thus one of every entry.

    Attributes
    ----------
    inside : entries pushed and not popped, this one and others.
    following : the chosen entry is inside.
    value : what was pushed.
    ahead : entries that have to be popped before it.
    head : it is the next to be popped.
    """

    def __init__(
        self, m: Module, *, push: Value, payload: ValueLike, pop: Value, pick: Value, limit: int
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

    def lies_in(self, queue: SyncFIFO | SyncFIFOBuffered) -> None:
        """Invariant: everything inside is in `queue`, and the followed entry at its place."""
        m, module = self._m, opened(queue)
        storage = module.submodules.storage
        produce, consume = storage.write_ports[0].addr, storage.read_ports[0].addr
        probe = storage.read_port(domain="comb")
        slot, place = Signal.like(produce), Signal(range(storage.depth))
        with m.If(self.taking):
            m.d.sync += slot.eq(produce)
        # SyncFIFOBuffered has one more entry than its memory: the output register.
        register = queue.r_rdy if isinstance(queue, SyncFIFOBuffered) else 0
        m.d.comb += [
            probe.addr.eq(slot),
            place.eq(Mux(slot >= consume, slot - consume, slot + storage.depth - consume)),
            Assert(self.inside == queue.level),
            Assert(queue.level <= queue.depth),
        ]
        with m.If(self.following):
            m.d.comb += Assert(self.ahead < self.inside)
            with m.If((self.ahead == 0) & register):
                m.d.comb += Assert(queue.r_data == self.value)
            with m.Else():
                m.d.comb += [
                    Assert(slot < storage.depth),
                    Assert(self.ahead == place + register),
                    Assert(probe.data == self.value),
                ]
