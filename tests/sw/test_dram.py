import dataclasses

import pytest

from weft.dram import MemoryModel, memory_of, roofline_cycles
from weft.errors import UsageError
from weft_hw.boards import BOARDS
from weft_hw.config import PRESETS, AcceleratorConfig, preset
from weft_hw.platform import Platform, platform


@pytest.mark.parametrize(
    "name, clock, peak, deliverable, read, write",
    [
        ("pynq-z2", 100, 21.0, 17.85, 50, 25),
        ("pynq-z2", 150, 14.0, 11.9, 75, 38),
        ("kv260", 200, 96.0, 72.0, 80, 40),
        ("zcu104", 200, 85.0, 64.0, 80, 40),
        ("tiny", 100, 21.0, 17.85, 50, 25),
        ("tiny-wide", 150, 14.0, 11.9, 75, 38),
    ],
)
def test_constants(name, clock, peak, deliverable, read, write):
    model = memory_of(preset(name), clock_mhz=clock)
    assert (model.peak_bytes_per_cycle, model.deliverable_bytes_per_cycle) == (peak, deliverable)
    assert (model.read_latency, model.write_latency) == (read, write)
    assert (model.ports, model.beat_bytes) == (
        preset(name).axi_ports,
        preset(name).axi_data_bits // 8,
    )


def test_every_preset_has_a_memory_at_its_clock():
    for config in PRESETS.values():
        assert memory_of(config) == MemoryModel.of(platform(config, config.board, config.clock_mhz))


@pytest.mark.parametrize("board", sorted(BOARDS))
@pytest.mark.parametrize("clock", [1, 58.823529, 99.9, 137, 187.5, 250])
def test_any_clock(board, clock):
    """Rates and latencies are the same in seconds, but for the rounding."""
    dram = BOARDS[board].dram
    model = MemoryModel.of(Platform(preset("tiny"), BOARDS[board], clock))
    assert model.name == f"{board} at {clock:g} MHz"
    assert model.peak_bytes_per_cycle * clock / 1000 == pytest.approx(
        dram.peak_gb_s, abs=0.005 * clock / 1000 + 1e-9
    )
    assert model.deliverable_bytes_per_cycle * clock / 1000 == pytest.approx(
        dram.peak_gb_s * dram.efficiency, abs=0.005 * clock / 1000 + 1e-9
    )
    for cycles, ns in (
        (model.read_latency, dram.read_latency_ns), (model.write_latency, dram.write_latency_ns)
    ):
        assert 0 <= cycles * 1000 / clock - ns < 1000 / clock


def test_a_configuration_that_is_no_preset():
    config = AcceleratorConfig(name="mine")
    assert memory_of(config).name == "kv260 at 100 MHz"
    assert memory_of(config).deliverable_bytes_per_cycle == 144
    assert (memory_of(config).ports, memory_of(config).beat_bytes) == (2, 8)
    assert memory_of(config, "aup-zu3", 150).deliverable_bytes_per_cycle == 48


def test_refusals_name_the_rule():
    with pytest.raises(UsageError, match="0.3 to 250 MHz, not at 400; choose another board or cl"):
        memory_of(preset("pynq-z2"), clock_mhz=400)
    with pytest.raises(UsageError, match="unknown board 'mars'; the boards are pynq-z2"):
        memory_of(preset("tiny"), "mars")
    with pytest.raises(UsageError, match="mine names no board, and its 64-bit AXI4 ports with 49-"):
        memory_of(AcceleratorConfig(name="mine", axi_address_bits=49))


def test_hash_covers_every_constant_and_not_the_name():
    model = memory_of(preset("pynq-z2"))
    assert model.hash == dataclasses.replace(model, name="other").hash
    assert model.hash == "ee1ea41ba3677c81", "results that carry this hash would become orphans"
    for field in dataclasses.fields(model):
        if field.name != "name":
            changed = dataclasses.replace(model, **{field.name: getattr(model, field.name) + 1})
            assert changed.hash != model.hash, field.name


def test_latency_factor():
    model = memory_of(preset("kv260"))
    doubled = model.with_latency_factor(2)
    assert (doubled.read_latency, doubled.write_latency) == (160, 80)
    assert doubled.hash != model.hash
    assert dataclasses.replace(doubled, name=model.name, read_latency=80, write_latency=40) == model


def test_roofline_takes_the_tightest_bound():
    config = preset("pynq-z2")
    model = memory_of(config)
    # 128 x 384 x 384: 73,728 cycles of array; 196,608 bytes in and 49,152 out.
    macs = 128 * 384 * 384
    read, written = 128 * 384 + 384 * 384, 128 * 384
    assert roofline_cycles(config, model, macs, read, written) == macs / 256 == 73728
    assert roofline_cycles(config, model, 0, 1600, 0) == 100
    assert roofline_cycles(config, model, 0, 0, 1600) == 100
    assert roofline_cycles(config, model, 0, 1000, 785) == pytest.approx(100)
