"""The accelerator without its clock pins: control, DMA, compute unit and memories, wired."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .compute.unit import ComputeUnit
from .config import AcceleratorConfig
from .control.axilite import AxiLitePort
from .control.control import Control
from .depthwise.unit import DepthwiseUnit
from .dma.dma import AxiPort, Dma
from .isa import Space, Unit, queued, units_of
from .memory.scratchpad import Scratchpad

__all__ = ["Core"]


class Core(wiring.Component):
    """All of the accelerator.

    Units that compute, and the scratchpad, are held in reset while control's `abort` is high and
    between runs.

    Parameters
    ----------
    config : AcceleratorConfig
    target : str
        Form of the array's cells: ``target.TARGETS``.

    Members
    -------
    s_axil : In(AxiLitePort())
        Registers.
    axi : Out(AxiPort(config)).array(P)
        DRAM.
    irq : Out(1)
        High while an enabled interrupt is pending.
    """

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.config = config
        self.target = target
        super().__init__(
            {
                "s_axil": In(AxiLitePort()),
                "axi": Out(AxiPort(config)).array(config.axi_ports),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        m.submodules.control = control = Control(cfg, units=units_of(cfg))
        m.submodules.dma = dma = Dma(cfg)
        # Between runs, too: a program starts without a SETUP in force.
        held = Signal(init=1)
        m.d.sync += held.eq(control.abort | ~control.running)
        reset = ResetInserter(held)
        compute, scratchpad = ComputeUnit(cfg, self.target), Scratchpad(cfg, self.target)
        m.submodules.compute = reset(compute)
        m.submodules.scratchpad = reset(scratchpad)
        depthwise = DepthwiseUnit(cfg) if cfg.tap_words else None

        wiring.connect(m, wiring.flipped(self.s_axil), control.s_axil)
        for ours, port in zip(self.axi, dma.axi):
            wiring.connect(m, port, wiring.flipped(ours))
        wiring.connect(m, control.arena, dma.arena)
        wiring.connect(m, control.fetch, dma.fetch)
        units = {Unit.LOAD: dma.load, Unit.COMPUTE: compute.port, Unit.STORE: dma.store}
        if depthwise is not None:
            m.submodules.depthwise = reset(depthwise)
            units[Unit.DEPTHWISE] = depthwise.port
        for spec, port in zip(queued(units_of(cfg)), control.ports):
            wiring.connect(m, port, units[spec.unit])
        events = control.events
        m.d.comb += [
            self.irq.eq(control.irq),
            dma.abort.eq(control.abort),
            control.bus_idle.eq(dma.bus_idle),
            events.array_rows.eq(compute.array_row),
            events.compute_wait_weights.eq(compute.wait),
            events.load_busy.eq(dma.load_busy),
            events.store_busy.eq(dma.store_busy),
            events.read_conflicts.eq(scratchpad.read_conflict),
            events.write_conflicts.eq(scratchpad.write_conflict),
            events.beats_read.eq(dma.beats_read),
            events.beats_fetched.eq(dma.beats_fetched),
            events.beats_written.eq(dma.beats_written),
        ]

        # A load's write goes to the memory that it names.
        write = dma.chip_write
        memories = {
            Space.SCRATCHPAD: scratchpad.load,
            Space.WEIGHTS: compute.weights,
            Space.PARAMETERS: compute.parameters,
            Space.TABLES: compute.tables,
        }
        if depthwise is not None:
            memories[Space.TAPS] = depthwise.taps
            wiring.connect(m, depthwise.read, scratchpad.depthwise_read)
            wiring.connect(m, depthwise.write, scratchpad.depthwise_write)
            m.d.comb += [
                depthwise.table_write_en.eq(compute.table_write_en),
                depthwise.table_write_address.eq(compute.table_write_address),
                depthwise.table_write_data.eq(compute.table_write_data),
                events.depthwise_fires.eq(depthwise.fire),
                events.depthwise_conflicts.eq(scratchpad.depthwise_conflict),
            ]
        for space, port in memories.items():
            here = write.payload.space == space
            m.d.comb += [
                port.valid.eq(write.valid & here),
                port.address.eq(write.payload.address),
                port.mask.eq(write.payload.mask),
                port.data.eq(write.payload.data),
            ]
            with m.If(here):
                m.d.comb += write.ready.eq(port.ready)
        wiring.connect(m, dma.chip_read, scratchpad.store)
        wiring.connect(m, compute.array, scratchpad.array)
        m.d.comb += scratchpad.result.eq(compute.result)
        return m
