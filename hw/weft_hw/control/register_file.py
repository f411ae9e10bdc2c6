"""The registers of ``weft_hw.registers`` in gateware: storage, constants, pulses, pending bits."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import ISA_VERSION, UNITS, UnitSpec
from ..registers import IDENTIFIER, Access, Register, register_map
from .axilite import RegisterBus

__all__ = ["RegisterFile", "constant_registers"]


def constant_registers(config: AcceleratorConfig) -> dict[str, int]:
    """Values of the registers that `config` fixes."""
    low, high = config.hash_words
    return {
        "id": IDENTIFIER,
        "isa_version": ISA_VERSION,
        "config_hash_low": low,
        "config_hash_high": high,
        "capability_array": config.rows | config.cols << 8 | config.weight_rows_per_cycle << 16,
        "capability_bus": config.axi_ports | config.axi_data_bits << 8,
    }


class RegisterFile(wiring.Component):
    """All registers behind a register bus.

    Bits past a register's width read as zero and ignore writes. Byte strobes hold for every
    writable register.

    Parameters
    ----------
    config : AcceleratorConfig
    units : sequence of UnitSpec
        Whose counters.

    Members
    -------
    bus : ``In(RegisterBus())``
        Accesses.
    NAME : ``In or Out``
        Of a read-only register that is not constant, In: what a read returns. Of a read-write
        register, Out: what was written.
    control : ``Out(2)``, the bits written to control, for one cycle after the write
    irq_set : ``In(2)``, pending bits to set; wins over a clear in the same cycle
    irq_clear : ``In(1)``, clears all pending bits
    irq : ``Out(1)``, a pending bit is enabled

    Latency
    -------
    A write is seen on the outputs, `control` too, one cycle later. `read_data` and `read_error`
    belong to `read_word` and the values of one cycle before.
    """

    #: Cycles from `read_word` to its answer.
    LATENCY = 1
    #: Words of a group of registers, each with a multiplexer and a register of its own.
    GROUP = 8

    def __init__(
        self, config: AcceleratorConfig, *, units: Sequence[UnitSpec] = UNITS
    ) -> None:
        self._registers = tuple(register_map(units).values())
        self._constants = constant_registers(config)
        ports: dict[str, wiring.Member] = {
            "bus": In(RegisterBus()),
            "control": Out(2),
            "irq_set": In(2),
            "irq_clear": In(1),
            "irq": Out(1),
        }
        for register in self._registers:
            if register.access is Access.READ and register.name not in self._constants:
                ports[register.name] = In(register.width)
            elif register.access is Access.READ_WRITE:
                ports[register.name] = Out(register.width)
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        mask = Signal(32)
        m.d.comb += mask.eq(Cat(bit.replicate(8) for bit in bus.write_strobe))
        ones = bus.write_data & mask
        pending = Signal(2)
        clear = Signal(2)
        m.d.sync += pending.eq((pending & ~clear & ~self.irq_clear.replicate(2)) | self.irq_set)
        m.d.comb += self.irq.eq((pending & self.irq_enable).any())

        m.d.sync += self.control.eq(0)
        with m.Switch(bus.write_word):
            for r in self._registers:
                if r.access is Access.READ:
                    continue
                with m.Case(r.offset // 4), m.If(bus.write_enable):
                    if r.access is Access.READ_WRITE:
                        stored = getattr(self, r.name)
                        m.d.sync += stored.eq((stored & ~mask) | ones)
                    elif r.access is Access.PULSE:
                        m.d.sync += self.control.eq(ones)
                    else:
                        m.d.comb += clear.eq(ones)
            with m.Default():
                m.d.comb += bus.write_error.eq(1)

        # Reads: the word of each group, registered, then the group.
        within = (self.GROUP - 1).bit_length()
        groups: dict[int, list[Register]] = {}
        for r in self._registers:
            groups.setdefault(r.offset // 4 // self.GROUP, []).append(r)
        for number, registers in groups.items():
            word = Signal(32, name=f"group{number}", reset_less=True)
            with m.Switch(bus.read_word[:within]):
                for r in registers:
                    with m.Case(r.offset // 4 % self.GROUP):
                        m.d.sync += word.eq(self._value(r.name, r.access, pending))
            with m.If(bus.read_word[within:] == number):
                m.d.comb += bus.read_data.eq(word)
        m.d.sync += bus.read_error.eq(1)
        present = [r.offset // 4 for r in self._registers]
        with m.Switch(bus.read_word), m.Case(*present):
            m.d.sync += bus.read_error.eq(0)
        return m

    def _value(self, name: str, access: Access, pending: Signal) -> Signal | Const:
        if name in self._constants:
            return Const(self._constants[name], 32)
        if access is Access.PULSE:
            return Const(0)
        return pending if access is Access.WRITE_1_CLEAR else getattr(self, name)
