"""AXI4-Lite slave: one access at a time on each side, turned into a plain register bus."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..registers import REGISTER_BYTES

__all__ = ["ADDRESS_BITS", "AXI_LITE_PORTS", "OKAY", "SLVERR", "AxiLite"]

#: Bits of a byte address within the register window.
ADDRESS_BITS = (REGISTER_BYTES - 1).bit_length()
#: Responses (AMBA AXI, IHI 0022E, A3.4.4).
OKAY, SLVERR = 0b00, 0b10

#: Members of the slave side, by their AXI names.
AXI_LITE_PORTS = {
    "s_axil_awaddr": In(ADDRESS_BITS),
    "s_axil_awprot": In(3),
    "s_axil_awvalid": In(1),
    "s_axil_awready": Out(1),
    "s_axil_wdata": In(32),
    "s_axil_wstrb": In(4),
    "s_axil_wvalid": In(1),
    "s_axil_wready": Out(1),
    "s_axil_bresp": Out(2),
    "s_axil_bvalid": Out(1),
    "s_axil_bready": In(1),
    "s_axil_araddr": In(ADDRESS_BITS),
    "s_axil_arprot": In(3),
    "s_axil_arvalid": In(1),
    "s_axil_arready": Out(1),
    "s_axil_rdata": Out(32),
    "s_axil_rresp": Out(2),
    "s_axil_rvalid": Out(1),
    "s_axil_rready": In(1),
}


class AxiLite(wiring.Component):
    """Take AXI4-Lite accesses and do them on a register bus.

    Address and data of a write may arrive in any order. Every output is a function of registers
    only. Protection bits and the two lowest address bits are ignored.

    Members
    -------
    s_axil_* : AXI4-Lite slave, 12-bit byte address, 32-bit data
    write_enable : ``Out(1)``, one cycle per write
    write_word, write_data, write_strobe : ``Out``, the write: register number, data, byte enables
    write_error : ``In(1)``, same cycle: answer SLVERR
    read_word : ``Out``, register number of the read
    read_data, read_error : ``In``, one cycle later: data, and whether to answer SLVERR

    Latency
    -------
    Write: address and data to response 2 cycles, one access per 2 cycles at best. Read: address to
    data 3 cycles, one access per 3 cycles at best.
    """

    #: Cycles from an address to its response.
    WRITE_LATENCY = 2
    READ_LATENCY = 3

    def __init__(self) -> None:
        super().__init__(
            {
                **AXI_LITE_PORTS,
                "write_enable": Out(1),
                "write_word": Out(ADDRESS_BITS - 2),
                "write_data": Out(32),
                "write_strobe": Out(4),
                "write_error": In(1),
                "read_word": Out(ADDRESS_BITS - 2),
                "read_data": In(32),
                "read_error": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        aw_full, w_full, b_full = Signal(), Signal(), Signal()
        m.d.comb += [
            self.s_axil_awready.eq(~aw_full),
            self.s_axil_wready.eq(~w_full),
            self.s_axil_bvalid.eq(b_full),
            self.write_enable.eq(aw_full & w_full & ~b_full),
        ]
        with m.If(self.s_axil_awvalid & ~aw_full):
            m.d.sync += [aw_full.eq(1), self.write_word.eq(self.s_axil_awaddr[2:])]
        with m.If(self.s_axil_wvalid & ~w_full):
            m.d.sync += [
                w_full.eq(1),
                self.write_data.eq(self.s_axil_wdata),
                self.write_strobe.eq(self.s_axil_wstrb),
            ]
        with m.If(self.write_enable):
            m.d.sync += [
                aw_full.eq(0),
                w_full.eq(0),
                b_full.eq(1),
                self.s_axil_bresp.eq(Mux(self.write_error, SLVERR, OKAY)),
            ]
        with m.Elif(self.s_axil_bready):
            m.d.sync += b_full.eq(0)

        # A read holds its number for a cycle before the answer belongs to it.
        ar_full, r_full, answered, take = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.s_axil_arready.eq(~ar_full),
            self.s_axil_rvalid.eq(r_full),
            take.eq(ar_full & answered & ~r_full),
        ]
        m.d.sync += answered.eq(ar_full & ~take)
        with m.If(self.s_axil_arvalid & ~ar_full):
            m.d.sync += [ar_full.eq(1), self.read_word.eq(self.s_axil_araddr[2:])]
        with m.If(take):
            m.d.sync += [
                ar_full.eq(0),
                r_full.eq(1),
                self.s_axil_rdata.eq(Mux(self.read_error, 0, self.read_data)),
                self.s_axil_rresp.eq(Mux(self.read_error, SLVERR, OKAY)),
            ]
        with m.Elif(self.s_axil_rready):
            m.d.sync += r_full.eq(0)
        return m
