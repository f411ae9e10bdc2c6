"""Resets the core without losing what the interconnect still owes it."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Bursts", "DrainedReset"]


class Bursts(wiring.Component):
    """Count the bursts of a master that are under way, and hold new ones back.

    It stands in the address channels and in that of write data. What the memory has seen stays
    until it is taken, as AXI wants it, and write data that went ahead of their address bring it
    along; what the core offers later waits while `hold` is high.

    Members
    -------
    hold : ``In(1)``
    core_arvalid, core_awvalid, core_wvalid : ``In(1)``, from the core
    core_arready, core_awready, core_wready : ``Out(1)``, to it
    arvalid, awvalid, wvalid : ``Out(1)``, to the memory
    arready, awready, wready : ``In(1)``, from it
    wlast, rvalid, rready, rlast, bvalid, bready : ``In(1)``, as they pass between the two
    idle : ``Out(1)``, nothing is offered, no answer and no data are owed

    Latency
    -------
    None: valid and ready pass in the same cycle.

    Source
    ------
    AMBA AXI, IHI 0022E, A3.2.1: a valid stays until its handshake.
    """

    #: Bursts of one direction that can be counted.
    LIMIT = 63

    def __init__(self) -> None:
        channels = ("ar", "aw", "w")
        inputs = ["hold", "wlast", "rvalid", "rready", "rlast", "bvalid", "bready"]
        inputs += [f"core_{c}valid" for c in channels] + [f"{c}ready" for c in channels]
        outputs = [f"core_{c}ready" for c in channels] + [f"{c}valid" for c in channels]
        outputs.append("idle")
        super().__init__(dict.fromkeys(inputs, In(1)) | dict.fromkeys(outputs, Out(1)))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ends = {
            "ar": self.rvalid & self.rready & self.rlast,
            "aw": self.bvalid & self.bready,
        }
        # Bursts whose data the core still owes; below zero, data that are ahead of their address.
        owed = Signal(signed(self.LIMIT.bit_length() + 1))
        # A burst of data has begun: a beat was seen by the memory, its last was not taken.
        begun = Signal()
        data_first = (begun & (owed <= 0)) | (owed < 0)
        m.d.comb += [
            self.wvalid.eq(self.core_wvalid & (~self.hold | begun | (owed > 0))),
            self.core_wready.eq(self.wready & (~self.hold | begun | (owed > 0))),
        ]
        beat = self.wvalid & self.wready
        m.d.sync += owed.eq(owed + (self.awvalid & self.awready) - (beat & self.wlast))
        with m.If(self.wvalid):
            m.d.sync += begun.eq(~(beat & self.wlast))
        quiet = [owed == 0, ~begun]
        for channel, ended in ends.items():
            offered = Signal(name=f"{channel}_offered")
            count = Signal(range(self.LIMIT + 1), name=f"{channel}_count")
            valid, ready = getattr(self, f"{channel}valid"), getattr(self, f"{channel}ready")
            passes = ~self.hold | offered | (data_first if channel == "aw" else 0)
            m.d.comb += [
                valid.eq(getattr(self, f"core_{channel}valid") & passes),
                getattr(self, f"core_{channel}ready").eq(ready & passes),
            ]
            m.d.sync += [offered.eq(valid & ~ready), count.eq(count + (valid & ready) - ended)]
            quiet += [count == 0, ~offered]
        m.d.comb += self.idle.eq(Cat(*quiet).all())
        return m


class DrainedReset(wiring.Component):
    """Ask for rest, wait for it, then reset for CYCLES cycles and as long as it is wanted.

    It belongs to a domain without a reset, whose registers have their first values from the
    configuration: the core starts in reset.

    Parameters
    ----------
    patience : int
        Cycles after which the core is reset though the bus is not at rest: a memory that never
        answers must not keep the host from resetting.

    Members
    -------
    wanted : ``In(1)``, level
    idle : ``In(1)``, nothing is under way
    hold : ``Out(1)``, nothing new may begin
    reset : ``Out(1)``
    """

    #: Cycles of a reset, at least.
    CYCLES = 8

    def __init__(self, patience: int = 1 << 16) -> None:
        self.patience = patience
        super().__init__({"wanted": In(1), "idle": In(1), "hold": Out(1), "reset": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(range(max(self.patience, self.CYCLES) + 1), init=self.CYCLES)
        with m.If(left.any()):
            m.d.sync += left.eq(left - 1)
        with m.FSM(init="Reset"):
            with m.State("Live"), m.If(self.wanted):
                m.d.sync += left.eq(self.patience)
                m.next = "Drain"
            with m.State("Drain"):
                m.d.comb += self.hold.eq(1)
                with m.If(self.idle | (left == 0)):
                    m.d.sync += [self.reset.eq(1), left.eq(self.CYCLES)]
                    m.next = "Reset"
            with m.State("Reset"):
                m.d.comb += self.hold.eq(1)
                with m.If((left == 0) & ~self.wanted):
                    m.d.sync += self.reset.eq(0)
                    m.next = "Live"
        return m
