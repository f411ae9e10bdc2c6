"""Control of the core: the wiring of its blocks, and the run and error state."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import INDEX_BITS, ErrorPort, Retire, StartLayout
from ..isa import ErrorCode, Unit
from ..registers import (
    CONTROL_RESET,
    CONTROL_START,
    COUNTERS,
    IRQ_DONE,
    IRQ_ERROR,
    STATUS_BUS_BUSY,
    STATUS_DONE,
    STATUS_ERROR,
    STATUS_RUNNING,
)
from .axilite import AXI_LITE_PORTS, AxiLite
from .check import Check
from .counters import Counters
from .dispatch import Dispatch
from .fetch import Fetch, fetch_ports
from .queue import UnitQueue
from .register_file import RegisterFile
from .semaphores import QUEUED_UNITS, Semaphores
from .watchdog import Watchdog

__all__ = ["ABORT_CYCLES", "Control"]

#: Cycles of `abort` of a soft reset.
ABORT_CYCLES = 8


class Control(wiring.Component):
    """Registers, fetch, checks, queues, semaphores, and the state of a run.

    A start is taken while the core neither runs, nor has an error, nor is in a soft reset, and the
    bus is idle. The first error stops the core: `abort` rises and stays until a soft reset. Among
    errors of one cycle the order is DMA, compute, dispatcher, semaphores, watchdog. The index of
    SEMAPHORE is that of the most recently started instruction of the posting unit; the index of
    WATCHDOG is that of the next instruction to dispatch. A soft reset stops a run, clears status,
    error, counters and pending interrupts, and raises `abort` for ABORT_CYCLES cycles. Other
    registers keep their values.

    Members
    -------
    s_axil_* : AXI4-Lite slave
    irq : ``Out(1)``, level
    arena_base, arena_bytes : ``Out(49)``, ``Out(32)``; the base is a multiple of 4096
    fetch_* : see :class:`.fetch.Fetch`
    load_start, compute_start, store_start : ``Out(stream.Signature(StartLayout))``
    load_retire, compute_retire, store_retire : ``In(Retire())``
    dma_error, compute_error : ``In(ErrorPort())``
    bus_idle : ``In(1)``, no burst is in flight
    abort : ``Out(1)``, level: units have to stop and forget
    running : ``Out(1)``, low between runs; units start a run in the state after their reset
    load_busy, store_busy, array_row, compute_wait_weights, read_conflict, write_conflict :
        ``In(1)``
    beats_read, beats_written : ``In(range(P + 1))``; beats_fetched : ``In(1)``

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

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        start = stream.Signature(StartLayout)
        beats = range(config.axi_ports + 1)
        super().__init__(
            {
                **AXI_LITE_PORTS,
                "irq": Out(1),
                "arena_base": Out(49),
                "arena_bytes": Out(32),
                **fetch_ports(config),
                "load_start": Out(start),
                "store_start": Out(start),
                "compute_start": Out(start),
                "load_retire": In(Retire()),
                "store_retire": In(Retire()),
                "compute_retire": In(Retire()),
                "dma_error": In(ErrorPort()),
                "compute_error": In(ErrorPort()),
                "bus_idle": In(1),
                "abort": Out(1),
                "running": Out(1),
                "load_busy": In(1),
                "store_busy": In(1),
                "array_row": In(1),
                "compute_wait_weights": In(1),
                "read_conflict": In(1),
                "write_conflict": In(1),
                "beats_read": In(beats),
                "beats_fetched": In(1),
                "beats_written": In(beats),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        names = [unit.name.lower() for unit in QUEUED_UNITS]
        starts = [getattr(self, f"{name}_start") for name in names]
        retires = [getattr(self, f"{name}_retire") for name in names]

        # Between runs the path of instructions is in reset: queues and semaphores start empty.
        between_runs = ResetInserter(~self.running)
        fetch, check, dispatch = Fetch(config), Check(config), Dispatch()
        semaphores, watchdog = Semaphores(), Watchdog()
        queues = [UnitQueue(getattr(config, f"{name}_queue")) for name in names]
        m.submodules.fetch = between_runs(fetch)
        m.submodules.check = between_runs(check)
        m.submodules.dispatch = between_runs(dispatch)
        m.submodules.semaphores = between_runs(semaphores)
        m.submodules.watchdog = between_runs(watchdog)
        for name, queue in zip(names, queues):
            m.submodules[f"{name}_queue"] = between_runs(queue)
        m.submodules.bus = bus = AxiLite()
        m.submodules.registers = registers = RegisterFile(config)
        m.submodules.counters = counters = Counters(config)

        # Registers.
        for name in AXI_LITE_PORTS:
            self._forward(m, name, bus)
        for name in ("enable", "word", "data", "strobe"):
            port = f"write_{name}"
            m.d.comb += getattr(registers, port).eq(getattr(bus, port))
        m.d.comb += [
            bus.write_error.eq(registers.write_error),
            registers.read_word.eq(bus.read_word),
            bus.read_data.eq(registers.read_data),
            bus.read_error.eq(registers.read_error),
            self.irq.eq(registers.irq),
            self.arena_base.eq(Cat(registers.arena_base_low, registers.arena_base_high)[12:] << 12),
            self.arena_bytes.eq(registers.arena_bytes),
        ]

        # Fetch to queues.
        for name in fetch_ports(config):
            self._forward(m, name, fetch)
        m.d.comb += [
            fetch.program_offset.eq(registers.program_offset),
            fetch.program_length.eq(registers.program_length),
            fetch.arena_bytes.eq(registers.arena_bytes),
            fetch.stop.eq(dispatch.ending),
            dispatch.fetch_idle.eq(fetch.idle),
        ]
        wiring.connect(m, fetch.o, check.i)
        wiring.connect(m, check.o, dispatch.i)
        last_started = [Signal(INDEX_BITS, name=f"last_{name}", reset_less=True) for name in names]
        for u, queue in enumerate(queues):
            wiring.connect(m, dispatch.o[u], queue.i)
            wiring.connect(m, queue.o, wiring.flipped(starts[u]))
            wiring.connect(m, wiring.flipped(retires[u]), semaphores.retire[u])
            m.d.comb += [
                semaphores.request[u].eq(queue.request),
                semaphores.demand[u].eq(queue.demand),
                queue.grant.eq(semaphores.grant[u]),
                dispatch.retired[u].eq(retires[u].valid),
            ]
            with m.If(starts[u].valid & starts[u].ready):
                m.d.sync += last_started[u].eq(starts[u].payload.index)

        self._count(m, counters, registers, semaphores, dispatch)
        m.d.comb += [
            watchdog.limit.eq(registers.watchdog),
            watchdog.progress.eq(
                Cat(
                    dispatch.dispatched,
                    (retire.valid for retire in retires),
                    self.array_row,
                    self.beats_read,
                    self.beats_fetched,
                    self.beats_written,
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
        for port in (dispatch.error, self.compute_error, self.dma_error):
            with m.If(port.valid):
                self._raise(m, error, port.code, port.index)

        self._run(m, registers, counters, dispatch, error)
        return m

    def _forward(self, m: Module, name: str, inner: wiring.Component) -> None:
        """Join a member of this component with the same member of `inner`."""
        outer, own = getattr(self, name), getattr(inner, name)
        if self.signature.members[name].flow is Out:
            m.d.comb += outer.eq(own)
        else:
            m.d.comb += own.eq(outer)

    def _raise(self, m: Module, error, code, index) -> None:
        m.d.comb += [error.valid.eq(1), error.code.eq(code), error.index.eq(index)]

    def _count(self, m: Module, counters, registers, semaphores, dispatch) -> None:
        """Join events with counters, and counters with registers."""
        load, compute, store = (
            QUEUED_UNITS.index(unit) for unit in (Unit.LOAD, Unit.COMPUTE, Unit.STORE)
        )
        events = {
            "cycles": 1,
            "instructions": dispatch.done + sum(dispatch.retired),
            "array_rows": self.array_row,
            "compute_wait_semaphore": semaphores.waiting[compute],
            "compute_wait_weights": self.compute_wait_weights,
            "load_busy": self.load_busy,
            "load_wait_semaphore": semaphores.waiting[load],
            "store_busy": self.store_busy,
            "store_wait_semaphore": semaphores.waiting[store],
            "read_conflicts": self.read_conflict,
            "write_conflicts": self.write_conflict,
            "beats_read": self.beats_read,
            "beats_fetched": self.beats_fetched,
            "beats_written": self.beats_written,
        }
        m.d.comb += counters.running.eq(self.running)
        for name in COUNTERS:
            m.d.comb += [
                getattr(counters, f"event_{name}").eq(events[name]),
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
                | Mux(bus_busy, STATUS_BUS_BUSY, 0)
            ),
        ]
        with m.If(self.running & error.valid):
            m.d.sync += [self.running.eq(0), failed.eq(1), code.eq(error.code)]
            m.d.sync += index.eq(error.index)
            m.d.comb += registers.irq_set.eq(IRQ_ERROR)
        with m.Elif(self.running & dispatch.done):
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
