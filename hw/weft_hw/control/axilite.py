"""AXI4-Lite slave: one access at a time on each side, turned into a plain register bus."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from ..registers import REGISTER_BYTES

__all__ = ["ADDRESS_BITS", "OKAY", "SLVERR", "AxiLite", "AxiLitePort", "RegisterBus"]

#: Bits of a byte address within the register window.
ADDRESS_BITS = (REGISTER_BYTES - 1).bit_length()
#: Responses (AMBA AXI, IHI 0022E, A3.4.4).
OKAY, SLVERR = 0b00, 0b10


class AxiLitePort(Signature):
    """AXI4-Lite, as the master sees it: 12-bit byte address, 32-bit data."""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(ADDRESS_BITS),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(ADDRESS_BITS),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class RegisterBus(Signature):
    """One access a cycle on each side, to registers by their numbers.

    write_enable : one cycle per write, with register number, data and byte enables; write_error,
    in the same cycle : answer SLVERR. read_word : register number; one cycle later read_data, and
    read_error : answer SLVERR.
    """

    def __init__(self) -> None:
        super().__init__(
            {
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


class AxiLite(wiring.Component):
    """Take AXI4-Lite accesses and do them on a register bus.

    Address and data of a write may arrive in any order. Every output is a function of registers
    only. Protection bits and the two lowest address bits are ignored.

    Members
    -------
    s_axil : ``In(AxiLitePort())``
        The slave side.
    bus : ``Out(RegisterBus())``
        The registers.

    Latency
    -------
    Write: address and data to response 2 cycles, one access per 2 cycles at best. Read: address to
    data 3 cycles, one access per 3 cycles at best.

    Source
    ------
    AMBA AXI, IHI 0022E, chapter B1.
    """

    #: Cycles from an address to its response.
    WRITE_LATENCY = 2
    READ_LATENCY = 3

    def __init__(self) -> None:
        super().__init__({"s_axil": In(AxiLitePort()), "bus": Out(RegisterBus())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi, bus = self.s_axil, self.bus

        aw_full, w_full, b_full = Signal(), Signal(), Signal()
        m.d.comb += [
            axi.awready.eq(~aw_full),
            axi.wready.eq(~w_full),
            axi.bvalid.eq(b_full),
            bus.write_enable.eq(aw_full & w_full & ~b_full),
        ]
        with m.If(axi.awvalid & ~aw_full):
            m.d.sync += [aw_full.eq(1), bus.write_word.eq(axi.awaddr[2:])]
        with m.If(axi.wvalid & ~w_full):
            m.d.sync += [
                w_full.eq(1),
                bus.write_data.eq(axi.wdata),
                bus.write_strobe.eq(axi.wstrb),
            ]
        with m.If(bus.write_enable):
            m.d.sync += [
                aw_full.eq(0),
                w_full.eq(0),
                b_full.eq(1),
                axi.bresp.eq(Mux(bus.write_error, SLVERR, OKAY)),
            ]
        with m.Elif(axi.bready):
            m.d.sync += b_full.eq(0)

        # A read holds its number for a cycle before the answer belongs to it.
        ar_full, r_full, answered, take = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            axi.arready.eq(~ar_full),
            axi.rvalid.eq(r_full),
            take.eq(ar_full & answered & ~r_full),
        ]
        m.d.sync += answered.eq(ar_full & ~take)
        with m.If(axi.arvalid & ~ar_full):
            m.d.sync += [ar_full.eq(1), bus.read_word.eq(axi.araddr[2:])]
        with m.If(take):
            m.d.sync += [
                ar_full.eq(0),
                r_full.eq(1),
                axi.rdata.eq(Mux(bus.read_error, 0, bus.read_data)),
                axi.rresp.eq(Mux(bus.read_error, SLVERR, OKAY)),
            ]
        with m.Elif(axi.rready):
            m.d.sync += r_full.eq(0)
        return m
