"""Looking inside a block: its registers, the memory of its FIFOs, and what breaking it does.

A property is stated on ports. What makes it inductive, where the data are meanwhile, needs a view
of the state, and this module gives one without a second description of the block.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple, TypeVar

from amaranth.hdl import Assert, C, Elaboratable, Module, Mux, Signal, Value, ValueLike
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.memory import Memory

__all__ = ["Followed", "mutant", "opened"]

Class = TypeVar("Class", bound=type)


class Inside(NamedTuple):
    """Where the parts of a block are: its submodules, and the local names of its ``elaborate``."""

    submodules: Any
    names: dict[str, Any]


def opened(part: Elaboratable) -> Inside:
    """The inside of `part`, which is elaborated now, once, and is the same where it is used."""
    names: dict[str, Any] = {}
    code = type(part).elaborate.__code__

    def look(frame: FrameType, event: str, result: object) -> None:
        if event == "return" and frame.f_code is code:
            names.update(frame.f_locals)

    profile = sys.getprofile()
    sys.setprofile(look)
    try:
        module = part.elaborate("formal")
    finally:
        sys.setprofile(profile)
    part.elaborate = lambda platform: module
    return Inside(module.submodules, names)


def mutant(block: Class, old: str, new: str, **constants: int) -> Class:
    """`block`, from the source of its module with `old`, which occurs once, replaced by `new`.

    `constants` take other values in it than the module has.

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
    names.update(constants)
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
        m, storage = self._m, opened(queue).submodules.storage
        # SyncFIFOBuffered has one entry more than its memory: the output register.
        register = queue.r_rdy if isinstance(queue, SyncFIFOBuffered) else C(0, 1)
        self.lies_in_ring(storage, level=queue.level - register, beyond=register + beyond)
        m.d.comb += Assert(queue.level <= queue.depth)
        with m.If(self.following & (self.ahead == beyond) & register):
            m.d.comb += Assert(queue.r_data == self.value)
        if every is not None:
            consume = storage.read_ports[0].addr
            m.d.comb += Assert(~register | every(queue.r_data))
            for s in range(storage.depth):
                probe = storage.read_port(domain="comb")
                place = self._place(s, consume, storage.depth)
                m.d.comb += [
                    probe.addr.eq(s),
                    Assert((place + register >= queue.level) | every(probe.data)),
                ]

    def lies_in_ring(self, storage: Memory, *, level: ValueLike, beyond: ValueLike) -> Signal:
        """Invariant: the followed entry is in `storage`, at its place; returns its slot.

        The first write port of `storage` is at the end of the ring, the first read port at its
        start; `level` entries are in it. `beyond` is as in :meth:`lies_in`.
        """
        m = self._m
        produce, consume = storage.write_ports[0].addr, storage.read_ports[0].addr
        probe, slot = storage.read_port(domain="comb"), Signal.like(produce)
        with m.If(self.taking):
            m.d.sync += slot.eq(produce)
        place = self._place(slot, consume, storage.depth)
        m.d.comb += [probe.addr.eq(slot), Assert(self.inside == level + beyond)]
        with m.If(self.following):
            m.d.comb += Assert(self.ahead < self.inside)
            with m.If(self.ahead >= beyond):
                m.d.comb += [
                    Assert(slot < storage.depth),
                    Assert(self.ahead == place + beyond),
                    Assert(probe.data == self.value[: len(probe.data)]),
                ]
        return slot

    def _place(self, slot: ValueLike, consume: Value, slots: int) -> Signal:
        """Entries of a ring that leave before the one in `slot`."""
        slot, place = Value.cast(slot), Signal(range(slots))
        self._m.d.comb += place.eq(
            Mux(slot >= consume, slot - consume, slot + slots - consume)
        )
        return place
