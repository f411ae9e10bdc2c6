"""The register block under the AXI4-Lite master of cocotbext-axi."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from runner import CLOCK_NS, parameters, start
from streams import pause_axi
from weft_hw.registers import (
    CONTROL_START,
    IDENTIFIER,
    IRQ_DONE,
    IRQ_ERROR,
    REGISTER_BYTES,
    REGISTERS,
    Access,
)

WRITABLE = [r for r in REGISTERS.values() if r.access is Access.READ_WRITE]


async def begin(dut) -> AxiLiteMaster:
    """The master after reset, with random pauses on every channel where asked for."""
    dut.status.value = 0
    dut.irq_set.value = 0
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil_"), dut.clk, dut.rst)
    pause_axi(master, parameters()["stall"])
    await start(dut)
    return master


@cocotb.test()
async def responses(dut):
    """Every word of the window: OKAY where the map allows the access, SLVERR elsewhere."""
    master = await begin(dut)
    present = {r.offset: r.access for r in REGISTERS.values()}
    for offset in [*range(0, 0x180, 4), REGISTER_BYTES - 4]:
        access = present.get(offset)
        read = await master.read(offset, 4)
        assert read.resp == (AxiResp.SLVERR if access is None else AxiResp.OKAY), hex(offset)
        write = await master.write(offset, bytes(4))
        refused = access in (None, Access.READ)
        assert write.resp == (AxiResp.SLVERR if refused else AxiResp.OKAY), hex(offset)
    assert await master.read_dword(REGISTERS["id"].offset) == IDENTIFIER


@cocotb.test()
async def bytes_of_registers(dut):
    """Random writes of 1 to 4 bytes, which become strobes, against a list of bytes."""
    master = await begin(dut)
    held = {r.offset: bytearray(4) for r in WRITABLE}
    for _ in range(150):
        register = random.choice(WRITABLE)
        first = random.randrange(4)
        data = random.randbytes(random.randint(1, 4 - first))
        await master.write(register.offset + first, data)
        word = held[register.offset]
        word[first : first + len(data)] = data
        kept = int.from_bytes(word, "little") & ((1 << register.width) - 1)
        held[register.offset] = bytearray(kept.to_bytes(4, "little"))
        other = random.choice(WRITABLE)
        assert await master.read_dword(other.offset) == int.from_bytes(held[other.offset], "little")


@cocotb.test()
async def both_sides_at_once(dut):
    """Reads and writes that are queued together do not disturb each other."""
    master = await begin(dut)
    values = {r: random.getrandbits(r.width) for r in WRITABLE}
    writes = [cocotb.start_soon(master.write_dword(r.offset, value)) for r, value in values.items()]
    reads = [cocotb.start_soon(master.read_dword(REGISTERS["id"].offset)) for _ in range(20)]
    for task in writes:
        await task
    for task in reads:
        assert await task == IDENTIFIER
    for register, value in values.items():
        assert await master.read_dword(register.offset) == value


@cocotb.test()
async def doorbell_and_interrupt(dut):
    """One start per written one; pending bits are set by events and cleared by written ones."""
    master = await begin(dut)
    for count in range(1, 4):
        await master.write_dword(REGISTERS["control"].offset, CONTROL_START)
        await ClockCycles(dut.clk, 2)  # the pulse is registered, and so is the count
        assert dut.starts.value.to_unsigned() == count
    await master.write_dword(REGISTERS["irq_enable"].offset, IRQ_ERROR)
    for event, expected in ((IRQ_DONE, 0), (IRQ_ERROR, 1)):
        dut.irq_set.value = event
        await ClockCycles(dut.clk, 1)
        dut.irq_set.value = 0
        await ClockCycles(dut.clk, 1)
        assert dut.irq.value == expected
    pending = REGISTERS["irq_pending"].offset
    assert await master.read_dword(pending) == IRQ_DONE | IRQ_ERROR
    await master.write_dword(pending, IRQ_ERROR)
    assert await master.read_dword(pending) == IRQ_DONE
    assert dut.irq.value == 0


@cocotb.test()
async def full_rate(dut):
    """Without pauses, queued reads take at most 5 cycles each, queued writes 4."""
    master = await begin(dut)
    if parameters()["stall"]:
        return
    offset, count = REGISTERS["watchdog"].offset, 50
    for access, cycles in ((master.read_dword, 5), (lambda at: master.write_dword(at, 5), 4)):
        before = get_sim_time("ns")
        for task in [cocotb.start_soon(access(offset)) for _ in range(count)]:
            await task
        assert get_sim_time("ns") - before <= (cycles * count + 10) * CLOCK_NS
