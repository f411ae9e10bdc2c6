"""The driver against a register file that behaves, and misbehaves, on request."""

from __future__ import annotations

import pytest

from weft.driver.device import Device
from weft.driver.transport import Transport
from weft.errors import DeviceError, Mismatch, UsageError
from weft.program import Program, TensorSpec
from weft_hw import registers as reg
from weft_hw.config import preset
from weft_hw.isa import ISA_VERSION, ErrorCode, Instruction, Opcode

CONFIG = preset("tiny")
R = {name: register.offset for name, register in reg.REGISTERS.items()}


class FakeCore(Transport):
    """Registers of a core whose run ends with `outcome`: a status, or None for never."""

    def __init__(self, outcome: int | None = reg.STATUS_DONE) -> None:
        low, high = CONFIG.hash_words
        self.values = {
            R["id"]: reg.IDENTIFIER,
            R["isa_version"]: ISA_VERSION,
            R["config_hash_low"]: low,
            R["config_hash_high"]: high,
        }
        self.outcome = outcome
        self.log: list[tuple[str, int]] = []
        self.busy_polls = 0
        self.checked = 0
        self.address = 0x1000_1000

    def read32(self, offset):
        if offset == R["status"] and self.busy_polls:
            self.busy_polls -= 1
            return reg.STATUS_BUS_BUSY
        return self.values.get(offset, 0)

    def write32(self, offset, value):
        name = next(n for n, o in R.items() if o == offset)
        self.log.append((name, value))
        if name == "control" and value == reg.CONTROL_START:
            self.values[R["status"]] = self.outcome if self.outcome is not None else 1
        elif name == "control":
            self.values[R["status"]] = 0
        elif name != "irq_pending":
            self.values[offset] = value

    @property
    def arena_address(self):
        return self.address

    def wait(self, cycles):
        return self.outcome is not None

    def flush(self):
        self.log.append(("flush", 0))

    def invalidate(self):
        self.log.append(("invalidate", 0))

    def check(self):
        self.checked += 1

@pytest.fixture
def program():
    instructions = [
        Instruction(Opcode.STORE, (3,), (4,), {"rows": 1, "bytes": 16}),
        Instruction(Opcode.END),
    ]
    return Program(
        CONFIG, instructions, 256, 1024, [(16, b"\x01" * 16)],
        outputs={"y": TensorSpec("y", "int8", (1, 16), 0, (16,))},
    )  # fmt: skip


def loaded(core, program):
    device = Device(core, CONFIG)
    device.select(program)
    core.log.clear()
    return device


def test_a_run_in_order(program):
    core = FakeCore()
    core.address = 0x1_2345_6000
    device = Device(core, CONFIG, watchdog_cycles=777)
    device.select(program)
    assert dict(core.log) == {
        "arena_base_low": 0x2345_6000, "arena_base_high": 1, "arena_bytes": 1024,
        "program_offset": 256, "program_length": 2, "watchdog": 777, "irq_enable": 3,
    }  # fmt: skip
    core.log.clear()
    device.run(1000)
    assert core.log == [
        ("irq_pending", 3), ("flush", 0), ("control", reg.CONTROL_START), ("irq_pending", 3),
        ("invalidate", 0),
    ]  # fmt: skip
    assert core.checked == 1


def test_wrong_identifier():
    core = FakeCore()
    core.values[R["id"]] = 0x12345678
    with pytest.raises(Mismatch, match="register reads 0x12345678, not 0x57454654; check the base"):
        Device(core, CONFIG)


def test_isa_of_another_major_or_an_earlier_minor_version():
    core = FakeCore()
    core.values[R["isa_version"]] = ISA_VERSION + 1
    Device(core, CONFIG)
    for version in (ISA_VERSION + 0x100, ISA_VERSION - 1):
        core.values[R["isa_version"]] = version
        said = f"ISA version {version >> 8}.{version & 255}, this software has "
        with pytest.raises(Mismatch, match=said.replace(".", r"\.")):
            Device(core, CONFIG)


def test_wrong_config_hash_prints_both():
    other = preset("kv260")
    with pytest.raises(Mismatch) as caught:
        Device(FakeCore(), other)
    assert CONFIG.hash in caught.value.message and other.hash in caught.value.message
    assert caught.value.exit_code == 5


def test_arena_must_start_on_a_page(program):
    core = FakeCore()
    core.address = 0x1000_0100
    with pytest.raises(UsageError, match="must start at a multiple of 4096, not at 0x10000100"):
        Device(core, CONFIG).select(program)


@pytest.mark.parametrize("code", [c for c in ErrorCode if c])
def test_errors_name_code_and_instruction(program, code):
    core = FakeCore(reg.STATUS_ERROR)
    device = loaded(core, program)
    core.values[R["error_code"]], core.values[R["error_instruction"]] = int(code), 0
    with pytest.raises(DeviceError) as caught:
        device.run(1000)
    error = caught.value
    assert (error.error_code, error.instruction, error.exit_code) == (code, 0, 6)
    assert f"stopped with {code.name} ({int(code)})" in error.message
    assert error.message.endswith("at instruction 0 (store wait=3 post=4 rows=1 bytes=16)")
    assert core.checked == 1, "the guards are looked at after an error, too"


def test_an_index_behind_the_program_and_an_unknown_code(program):
    core = FakeCore(reg.STATUS_ERROR)
    device = loaded(core, program)
    core.values[R["error_code"]], core.values[R["error_instruction"]] = 15, 99
    with pytest.raises(DeviceError, match=r"unknown \(15\): .* the code, at instruction 99$"):
        device.run(1000)


def test_an_error_of_no_instruction(program):
    core = FakeCore(reg.STATUS_ERROR)
    device = loaded(core, program)
    core.values[R["error_code"]], core.values[R["error_instruction"]] = 5, 0xFFFFFF
    with pytest.raises(DeviceError, match="BUS_READ .* while instructions were fetched$") as caught:
        device.run(1000)
    assert caught.value.instruction == -1


def test_a_soft_reset_follows_an_error(program):
    core = FakeCore(reg.STATUS_ERROR)
    device = loaded(core, program)
    with pytest.raises(DeviceError):
        device.run(1000)
    core.outcome = reg.STATUS_DONE
    core.log.clear()
    device.run(1000)
    assert [e for e in core.log if e[0] == "control"] == [
        ("control", reg.CONTROL_RESET), ("control", reg.CONTROL_START),
    ]  # fmt: skip


def test_a_start_waits_for_the_bus(program):
    core = FakeCore()
    device = loaded(core, program)
    core.busy_polls = 10
    device.run(1000)
    assert core.busy_polls == 0
    core.busy_polls = 1 << 30
    with pytest.raises(DeviceError, match="the bus is not idle after a soft reset"):
        device.run(1000)


def test_timeout(program):
    core = FakeCore(None)
    device = loaded(core, program)
    core.values[R["instructions"]] = 1
    with pytest.raises(DeviceError, match="not done after 1000 cycles: status 0x1, 1 instructions"):
        device.run(1000)


def test_an_interrupt_without_done(program):
    device = loaded(FakeCore(0), program)
    with pytest.raises(DeviceError, match="the interrupt came, but the status is 0x0, not done"):
        device.run(1000)


def test_counters_have_all_names(program):
    core = FakeCore()
    device = loaded(core, program)
    for i, name in enumerate(reg.COUNTERS):
        core.values[R[name]] = 10 + i
    assert device.counters() == {name: 10 + i for i, name in enumerate(reg.COUNTERS)}
