"""From a general-purpose port of the processing system, AXI3, to the registers, AXI4-Lite."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..control.axilite import ADDRESS_BITS, AxiLitePort
from ..registers import REGISTER_BYTES

__all__ = ["DECERR", "ID_BITS", "Axi3ToLite"]

#: Bits of an identifier on M_AXI_GP0 and M_AXI_GP1 (UG585, table 5-3).
ID_BITS = 12
#: Response where nothing is (AMBA AXI, IHI 0022E, A3.4.4).
DECERR = 0b11
#: AxBURST (IHI 0022E, A3.4.1).
_INCR, _WRAP = 0b01, 0b10

_ADDRESS = {"id": ID_BITS, "addr": 32, "len": 4, "size": 2, "burst": 2, "valid": 1}
#: Members of the slave side that the master drives, then those that it sees.
_FROM_MASTER = {f"{side}{name}": bits for side in ("aw", "ar") for name, bits in _ADDRESS.items()}
_FROM_MASTER |= {"wdata": 32, "wstrb": 4, "wvalid": 1, "bready": 1, "rready": 1}
_TO_MASTER = {"awready": 1, "arready": 1, "wready": 1, "bid": ID_BITS, "bresp": 2, "bvalid": 1}
_TO_MASTER |= {"rid": ID_BITS, "rdata": 32, "rresp": 2, "rlast": 1, "rvalid": 1}


class _Burst:
    """Registers of the burst under way on one side, and the address of its next beat.

    `left` counts the beats after this one. `hold` marks the bits of the address that stay: all but
    those within a wrapping burst, none of an incrementing one, all of a fixed one.
    """

    def __init__(self, channel: str) -> None:
        self.id = Signal(ID_BITS, name=f"{channel}_id")
        self.address = Signal(ADDRESS_BITS, name=f"{channel}_address")
        self.step = Signal(3, name=f"{channel}_step")
        self.hold = Signal(ADDRESS_BITS, name=f"{channel}_hold")
        self.inside = Signal(name=f"{channel}_inside")
        self.left = Signal(4, name=f"{channel}_left")

    @property
    def after(self) -> Value:
        """Address of the next beat."""
        moved = (self.address + self.step)[:ADDRESS_BITS]
        return (self.address & self.hold) | (moved & ~self.hold)


class Axi3ToLite(wiring.Component):
    """Take AXI3 bursts and do each beat as an access of its own on AXI4-Lite.

    One burst each way at a time. Answers carry the identifier of their burst; a burst of writes is
    answered once, with the highest response of its beats. Bursts that begin outside the register
    window are answered DECERR beat by beat and do not reach the registers. A burst stays in its
    4 KiB page, so its first address decides. Identifiers of write data are ignored: the ports of
    the processing system do not interleave them (UG585, 5.3.1). Every output is a function of
    registers only.

    Parameters
    ----------
    base : int
        Physical address of the registers, a multiple of their window.

    Members
    -------
    s_axi_NAME : In or Out
        AXI3 slave, 32-bit data and addresses, 12-bit identifiers, AxSIZE of two bits as the
        processing system has it; no WLAST, WID, AxLOCK, AxCACHE, AxPROT, AxQOS, which change
        nothing here.
    m_axil_NAME : In or Out
        AXI4-Lite master, 32-bit data, 12-bit byte address.
    idle : ``Out(1)``
        No burst is under way.

    Latency
    -------
    Address of a read to the request on AXI4-Lite: 1 cycle; answer there to answer here: 1 cycle.
    Data of a write likewise.

    Raises
    ------
    ValueError
        `base` is not a multiple of the window.

    Source
    ------
    AMBA AXI, IHI 0022E, chapters A3 and B1; UG585, 5.3.
    """

    def __init__(self, base: int) -> None:
        if base % REGISTER_BYTES or not 0 <= base < 1 << 32:
            raise ValueError(
                f"base must be a multiple of {REGISTER_BYTES:#x} below 4 GiB, not {base:#x}"
            )
        self.base = base
        self.write_burst, self.read_burst = _Burst("aw"), _Burst("ar")
        super().__init__(
            {
                **{f"s_axi_{name}": In(bits) for name, bits in _FROM_MASTER.items()},
                **{f"s_axi_{name}": Out(bits) for name, bits in _TO_MASTER.items()},
                **{f"m_axil_{name}": member for name, member in AxiLitePort().members.items()},
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._writes(m)
        self._reads(m)
        idle = (self.write_states.ongoing("Idle"), self.read_states.ongoing("Idle"))
        m.d.comb += self.idle.eq(Cat(*idle).all())
        return m

    def _take(self, channel: str, burst: _Burst) -> list:
        """Statements that keep the burst offered on an address channel."""
        port = {name: getattr(self, f"s_axi_{channel}{name}") for name in _ADDRESS}
        # Bits that move inside a wrapping burst: its bytes, a power of two, minus one.
        within = ((port["len"] + 1) << port["size"]) - 1
        return [
            burst.id.eq(port["id"]),
            burst.address.eq(port["addr"][:ADDRESS_BITS]),
            burst.step.eq(1 << port["size"]),
            burst.hold.eq(Mux(port["burst"] == _INCR, 0, Mux(port["burst"] == _WRAP, ~within, -1))),
            burst.inside.eq(port["addr"][ADDRESS_BITS:] == self.base >> ADDRESS_BITS),
            burst.left.eq(port["len"]),
        ]

    def _writes(self, m: Module) -> None:
        burst = self.write_burst
        m.d.comb += [
            self.m_axil_awaddr.eq(burst.address),
            self.s_axi_bid.eq(burst.id),
        ]
        with m.FSM(name="writes") as self.write_states:
            with m.State("Idle"):
                m.d.comb += self.s_axi_awready.eq(1)
                with m.If(self.s_axi_awvalid):
                    m.d.sync += [*self._take("aw", burst), self.s_axi_bresp.eq(0)]
                    m.next = "Data"
            with m.State("Data"):
                m.d.comb += self.s_axi_wready.eq(1)
                with m.If(self.s_axi_wvalid):
                    m.d.sync += [
                        self.m_axil_wdata.eq(self.s_axi_wdata),
                        self.m_axil_wstrb.eq(self.s_axi_wstrb),
                    ]
                    with m.If(burst.inside):
                        m.d.sync += [self.m_axil_awvalid.eq(1), self.m_axil_wvalid.eq(1)]
                        m.next = "Access"
                    with m.Else():
                        m.d.sync += self.s_axi_bresp.eq(DECERR)
                        self._advance(m, burst, more="Data", last="Answer")
            with m.State("Access"):
                address_waits = self.m_axil_awvalid & ~self.m_axil_awready
                data_waits = self.m_axil_wvalid & ~self.m_axil_wready
                m.d.sync += [
                    self.m_axil_awvalid.eq(address_waits),
                    self.m_axil_wvalid.eq(data_waits),
                ]
                with m.If(~(address_waits | data_waits)):
                    m.next = "Response"
            with m.State("Response"):
                m.d.comb += self.m_axil_bready.eq(1)
                with m.If(self.m_axil_bvalid):
                    with m.If(self.m_axil_bresp > self.s_axi_bresp):
                        m.d.sync += self.s_axi_bresp.eq(self.m_axil_bresp)
                    self._advance(m, burst, more="Data", last="Answer")
            with m.State("Answer"):
                m.d.comb += self.s_axi_bvalid.eq(1)
                with m.If(self.s_axi_bready):
                    m.next = "Idle"

    def _reads(self, m: Module) -> None:
        burst = self.read_burst
        m.d.comb += [
            self.m_axil_araddr.eq(burst.address),
            self.s_axi_rid.eq(burst.id),
            self.s_axi_rlast.eq(burst.left == 0),
        ]
        inside = self.s_axi_araddr[ADDRESS_BITS:] == self.base >> ADDRESS_BITS
        with m.FSM(name="reads") as self.read_states:
            with m.State("Idle"):
                m.d.comb += self.s_axi_arready.eq(1)
                with m.If(self.s_axi_arvalid):
                    m.d.sync += self._take("ar", burst)
                    with m.If(inside):
                        m.next = "Access"
                    with m.Else():
                        m.d.sync += [self.s_axi_rdata.eq(0), self.s_axi_rresp.eq(DECERR)]
                        m.next = "Answer"
            with m.State("Access"):
                m.d.comb += self.m_axil_arvalid.eq(1)
                with m.If(self.m_axil_arready):
                    m.next = "Response"
            with m.State("Response"):
                m.d.comb += self.m_axil_rready.eq(1)
                with m.If(self.m_axil_rvalid):
                    m.d.sync += [
                        self.s_axi_rdata.eq(self.m_axil_rdata),
                        self.s_axi_rresp.eq(self.m_axil_rresp),
                    ]
                    m.next = "Answer"
            with m.State("Answer"):
                m.d.comb += self.s_axi_rvalid.eq(1)
                with m.If(self.s_axi_rready):
                    with m.If(burst.inside):
                        self._advance(m, burst, more="Access", last="Idle")
                    with m.Else():
                        self._advance(m, burst, more="Answer", last="Idle")

    @staticmethod
    def _advance(m: Module, burst: _Burst, *, more: str, last: str) -> None:
        """Go on to the next beat, or leave the burst behind."""
        m.d.sync += [burst.left.eq(burst.left - 1), burst.address.eq(burst.after)]
        with m.If(burst.left == 0):
            m.next = last
        with m.Else():
            m.next = more
