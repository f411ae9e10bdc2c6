"""The accelerator without its clock pins: control, DMA, compute unit and memories, wired."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from .compute.unit import ComputeUnit
from .config import AcceleratorConfig
from .control.control import Control
from .dma.dma import Dma
from .isa import Space
from .memory.scratchpad import Scratchpad

__all__ = ["Core"]

#: Control outputs that feed the DMA input of the same name, and the other way round.
_TO_DMA = ("fetch_offset", "fetch_beats", "fetch_valid", "arena_base", "arena_bytes", "abort")
_FROM_DMA = ("fetch_ready", "fetch_data", "fetch_data_valid", "load_busy", "store_busy", "bus_idle",
             "beats_read", "beats_fetched", "beats_written")


class Core(wiring.Component):
    """All of the accelerator. Its members are the AXI4-Lite slave, the AXI masters and `irq`.

    Compute unit and scratchpad are held in reset while control's `abort` is high and between runs.
    `target` is the form of the array's cells: ``target.TARGETS``.
    """

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.config = config
        self.target = target
        self.control = Control(config)
        self.dma = Dma(config)
        members = {
            name: member
            for block, prefix in ((self.control, "s_axil_"), (self.dma, "m_axi"))
            for name, member in block.signature.members.items()
            if name.startswith(prefix)
        }
        super().__init__({**members, "irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        m.submodules.control = control = self.control
        m.submodules.dma = dma = self.dma
        # Between runs, too: a program starts without a SETUP in force.
        held = Signal(init=1)
        m.d.sync += held.eq(control.abort | ~control.running)
        reset = ResetInserter(held)
        compute, scratchpad = ComputeUnit(cfg, self.target), Scratchpad(cfg, self.target)
        m.submodules.compute = reset(compute)
        m.submodules.scratchpad = reset(scratchpad)

        for block in (control, dma):
            for name, member in block.signature.members.items():
                if name in self.signature.members and name != "irq":
                    ours, theirs = getattr(self, name), getattr(block, name)
                    pair = (theirs, ours) if member.flow is wiring.In else (ours, theirs)
                    m.d.comb += pair[0].eq(pair[1])
        m.d.comb += self.irq.eq(control.irq)

        for name in _TO_DMA:
            m.d.comb += getattr(dma, name).eq(getattr(control, name))
        for name in _FROM_DMA:
            m.d.comb += getattr(control, name).eq(getattr(dma, name))
        for unit, block in (("load", dma), ("store", dma)):
            wiring.connect(m, getattr(control, f"{unit}_start"), getattr(block, f"{unit}_start"))
            wiring.connect(m, getattr(block, f"{unit}_retire"), getattr(control, f"{unit}_retire"))
        wiring.connect(m, control.compute_start, compute.start)
        wiring.connect(m, compute.retire, control.compute_retire)
        wiring.connect(m, dma.error, control.dma_error)
        wiring.connect(m, compute.error, control.compute_error)

        # A load's write goes to the memory that it names; only two of them can make it wait.
        write = dma.chip_write
        wanted = write.payload
        ready = Mux(
            wanted.space == Space.SCRATCHPAD,
            scratchpad.load_ready,
            Mux(wanted.space == Space.TABLES, compute.table_ready, 1),
        )
        m.d.comb += write.ready.eq(ready)
        for target, prefix, space, enable in (
            (scratchpad, "load", Space.SCRATCHPAD, "valid"),
            (compute, "weight_write", Space.WEIGHTS, "en"),
            (compute, "parameter_write", Space.PARAMETERS, "en"),
            (compute, "table", Space.TABLES, "valid"),
        ):
            m.d.comb += getattr(target, f"{prefix}_{enable}").eq(
                write.valid & (wanted.space == space)
            )
            for name in ("address", "mask", "data"):
                m.d.comb += getattr(target, f"{prefix}_{name}").eq(getattr(wanted, name))
        wiring.connect(m, dma.chip_read, scratchpad.store)
        m.d.comb += [
            scratchpad.array_en.eq(compute.array_en),
            scratchpad.array_line.eq(compute.array_line),
            compute.array_data.eq(scratchpad.array_data),
            scratchpad.result.eq(compute.result),
            control.array_rows.eq(compute.array_row),
            control.compute_wait_weights.eq(compute.wait),
            control.read_conflicts.eq(scratchpad.read_conflict),
            control.write_conflicts.eq(scratchpad.write_conflict),
        ]
        return m
