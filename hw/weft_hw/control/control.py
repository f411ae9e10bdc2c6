"""Control of the core: the wiring of its blocks, and the run and error state."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import INDEX_BITS, Arena, ErrorPort, Events, FetchPort, UnitPort
from ..isa import UNITS, ErrorCode, UnitSpec, queued, unit_counters
from ..registers import (
    CONTROL_RESET,
    CONTROL_START,
    IRQ_DONE,
    IRQ_ERROR,
    STATUS_BUS_BUSY,
    STATUS_DONE,
    STATUS_ERROR,
    STATUS_RUNNING,
)
from .axilite import AxiLite, AxiLitePort
from .check import Check
from .counters import Counters
from .dispatch import Dispatch
from .fetch import Fetch
from .queue import UnitQueue
from .register_file import RegisterFile
from .semaphores import Semaphores
from .watchdog import Watchdog

__all__ = ["ABORT_CYCLES", "Control"]

#: Cycles of `abort` of a soft reset.
ABORT_CYCLES = 8


class Control(wiring.Component):
    """Registers, fetch, checks, queues, semaphores, and the state of a run.

    A start is taken while the core neither runs, nor has an error, nor is in a soft reset, and the
    bus is idle: whenever the status reads idle or done. The first error stops the core: `abort`
    rises and stays until a soft reset. Among errors of one cycle the order is units, dispatcher,
    semaphores, watchdog. The index of SEMAPHORE is that of the most recently started instruction of
    the posting unit; the index of WATCHDOG is that of the next instruction to dispatch. A soft
    reset stops a run, clears status, error, counters and pending interrupts, and raises `abort` for
    ABORT_CYCLES cycles. Other registers keep their values.

    Parameters
    ----------
    config : AcceleratorConfig
        Its queue depths, among others.
    units : sequence of UnitSpec
        The units; each with a queue, a UNIT below, has its ports.

    Members
    -------
    s_axil : ``In(AxiLitePort())``
        Registers.
    irq : ``Out(1)``
        Level.
    arena : ``Out(Arena())``
        The base is a multiple of 4096.
    fetch : ``Out(FetchPort(config))``
        The program.
    ports : ``Out(UnitPort()).array(U)``
        The units that have a queue, in order.
    events : ``In(Events(config, units))``
        What they count.
    bus_idle : ``In(1)``
        No burst is in flight.
    abort : ``Out(1)``
        Level: units have to stop and forget.
    running : ``Out(1)``
        Low between runs; units start a run in the state after their reset.

    Latency
    -------
    Write of the doorbell to the first fetch request: 5 cycles. Last beat of an instruction to its
    start: 7 cycles. Last retirement to done: 4 cycles.
    """

    #: Cycles from the doorbell to the first request, from an instruction's last beat to its start,
    #: and from the last retirement to done.
    REQUEST_LATENCY = 5
    START_LATENCY = 7
    DONE_LATENCY = 4

    def __init__(
        self, config: AcceleratorConfig, *, units: Sequence[UnitSpec] = UNITS
    ) -> None:
        self._config = config
        self._units = units
        self._queued = queued(units)
        super().__init__(
            {
                "s_axil": In(AxiLitePort()),
                "irq": Out(1),
                "arena": Out(Arena()),
                "fetch": Out(FetchPort(config)),
                "ports": Out(UnitPort()).array(len(self._queued)),
                "events": In(Events(config, units)),
                "bus_idle": In(1),
                "abort": Out(1),
                "running": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, units = self._config, self._units

        # Between runs the path of instructions is in reset: queues and semaphores start empty.
        between_runs = ResetInserter(~self.running)
        fetch, check, dispatch = Fetch(config), Check(config, units=units), Dispatch(units=units)
        semaphores, watchdog = Semaphores(units=units), Watchdog()
        queues = [UnitQueue(getattr(config, str(spec.queue))) for spec in self._queued]
        m.submodules.fetch = between_runs(fetch)
        m.submodules.check = between_runs(check)
        m.submodules.dispatch = between_runs(dispatch)
        m.submodules.semaphores = between_runs(semaphores)
        m.submodules.watchdog = between_runs(watchdog)
        for spec, queue in zip(self._queued, queues):
            m.submodules[f"{spec.name}_queue"] = between_runs(queue)
        m.submodules.bus = bus = AxiLite()
        m.submodules.registers = registers = RegisterFile(config, units=units)
        m.submodules.counters = counters = Counters(config, units=units)

        # Registers.
        wiring.connect(m, wiring.flipped(self.s_axil), bus.s_axil)
        wiring.connect(m, bus.bus, registers.bus)
        m.d.comb += [
            self.irq.eq(registers.irq),
            self.arena.base.eq(Cat(registers.arena_base_low, registers.arena_base_high)[12:] << 12),
            self.arena.bytes.eq(registers.arena_bytes),
        ]

        # Fetch to queues.
        wiring.connect(m, fetch.port, wiring.flipped(self.fetch))
        m.d.comb += [
            fetch.program_offset.eq(registers.program_offset),
            fetch.program_length.eq(registers.program_length),
            fetch.arena_bytes.eq(registers.arena_bytes),
            fetch.stop.eq(dispatch.ending),
            dispatch.fetch_idle.eq(fetch.idle),
        ]
        wiring.connect(m, fetch.o, check.i)
        wiring.connect(m, check.o, dispatch.i)
        last_started = [
            Signal(INDEX_BITS, name=f"last_{spec.name}", reset_less=True) for spec in self._queued
        ]
        for u, (queue, port) in enumerate(zip(queues, self.ports)):
            wiring.connect(m, dispatch.o[u], queue.i)
            wiring.connect(m, queue.o, wiring.flipped(port.start))
            wiring.connect(m, wiring.flipped(port.retire), semaphores.retire[u])
            m.d.comb += [
                semaphores.request[u].eq(queue.request),
                semaphores.demand[u].eq(queue.demand),
                queue.grant.eq(semaphores.grant[u]),
                dispatch.retired[u].eq(port.retire.valid),
            ]
            with m.If(port.start.valid & port.start.ready):
                m.d.sync += last_started[u].eq(port.start.payload.index)

        self._count(m, counters, registers, semaphores, dispatch)
        m.d.comb += [
            watchdog.limit.eq(registers.watchdog),
            watchdog.progress.eq(
                Cat(
                    dispatch.dispatched,
                    (port.retire.valid for port in self.ports),
                    self.events.array_rows,
                    self.events.beats_read,
                    self.events.beats_fetched,
                    self.events.beats_written,
                ).any()
            ),
        ]

        # The first error of this cycle.
        error = ErrorPort().create()
        with m.If(watchdog.expired):
            self._raise(m, error, ErrorCode.WATCHDOG, dispatch.next_index)
        with m.If(semaphores.overflow):
            for u, index in enumerate(last_started):
                with m.If(semaphores.overflow_unit == u):
                    self._raise(m, error, ErrorCode.SEMAPHORE, index)
        for fault in (dispatch.error, *(port.error for port in reversed(self.ports))):
            with m.If(fault.valid):
                self._raise(m, error, fault.code, fault.index)

        self._run(m, registers, counters, dispatch, error)
        return m

    def _raise(self, m: Module, error, code, index) -> None:
        m.d.comb += [error.valid.eq(1), error.code.eq(code), error.index.eq(index)]

    def _count(self, m: Module, counters, registers, semaphores, dispatch) -> None:
        """Join events with counters, and counters with registers."""
        events = {"cycles": 1, "instructions": dispatch.done + sum(dispatch.retired)}
        for u, spec in enumerate(self._queued):
            events[f"{spec.name}_wait_semaphore"] = semaphores.waiting[u]
        m.d.comb += counters.running.eq(self.running)
        for counter in unit_counters(self._units):
            name = counter.name
            event = events[name] if name in events else getattr(self.events, name)
            m.d.comb += [
                getattr(counters, f"event_{name}").eq(event),
                getattr(registers, name).eq(getattr(counters, name)),
            ]

    def _run(self, m: Module, registers, counters, dispatch, error) -> None:
        """Start, done, error, soft reset."""
        done, failed = Signal(), Signal()
        code, index = Signal(4), Signal(INDEX_BITS)
        aborting = Signal(range(ABORT_CYCLES + 1))
        start, reset = Signal(), Signal()
        # Of the cycle before: what reads the status would add to the paths of the bus ports.
        bus_busy = Signal()
        m.d.sync += bus_busy.eq(~self.bus_idle & ~self.running)
        # While a soft reset goes on, a start is ignored; so the status must not read idle.
        m.d.comb += [
            reset.eq((registers.control & CONTROL_RESET).any()),
            start.eq(
                (registers.control & CONTROL_START).any()
                & ~reset
                & ~self.running
                & ~self.abort
                & self.bus_idle
            ),
            counters.clear.eq(start | reset),
            registers.irq_clear.eq(reset),
            registers.error_code.eq(code),
            registers.error_instruction.eq(index),
            registers.status.eq(
                Mux(self.running, STATUS_RUNNING, 0)
                | Mux(done, STATUS_DONE, 0)
                | Mux(failed, STATUS_ERROR, 0)
                | Mux(bus_busy | (self.abort & ~failed), STATUS_BUS_BUSY, 0)
            ),
        ]
        # A run that a soft reset ends in this very cycle leaves nothing, no interrupt either.
        with m.If(self.running & ~reset & error.valid):
            m.d.sync += [self.running.eq(0), failed.eq(1), code.eq(error.code)]
            m.d.sync += index.eq(error.index)
            m.d.comb += registers.irq_set.eq(IRQ_ERROR)
        with m.Elif(self.running & ~reset & dispatch.done):
            m.d.sync += [self.running.eq(0), done.eq(1)]
            m.d.comb += registers.irq_set.eq(IRQ_DONE)
        # `abort` is high while `failed` or `aborting` are set; a register, as it goes everywhere.
        m.d.sync += self.abort.eq(
            reset | failed | (self.running & error.valid) | (aborting > 1)
        )
        with m.If(aborting.any()):
            m.d.sync += aborting.eq(aborting - 1)
        with m.If(start):
            m.d.sync += [self.running.eq(1), done.eq(0)]
        with m.If(reset):
            m.d.sync += [self.running.eq(0), done.eq(0), failed.eq(0), aborting.eq(ABORT_CYCLES)]
            m.d.sync += [code.eq(0), index.eq(0)]
