import dataclasses

import pytest

from weft.dram import for_config, roofline_cycles
from weft.errors import UsageError
from weft_hw.config import PRESETS, preset


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
    model = for_config(preset(name), clock)
    assert (model.peak_bytes_per_cycle, model.deliverable_bytes_per_cycle) == (peak, deliverable)
    assert (model.read_latency, model.write_latency) == (read, write)
    assert (model.ports, model.beat_bytes) == (
        preset(name).axi_ports,
        preset(name).axi_data_bits // 8,
    )


def test_every_preset_has_a_memory_at_its_clock():
    for config in PRESETS.values():
        assert for_config(config) == for_config(config, config.clock_mhz)


def test_constants_agree_with_the_memory_parts():
    """The rates are those of the DRAM chips, in bytes per accelerator cycle."""
    assert for_config(preset("pynq-z2")).peak_bytes_per_cycle == 2 * 1050 / 100
    assert for_config(preset("pynq-z2"), 150).peak_bytes_per_cycle == 2 * 1050 / 150
    assert for_config(preset("kv260")).peak_bytes_per_cycle == 8 * 2400 / 200
    assert for_config(preset("zcu104")).peak_bytes_per_cycle == pytest.approx(8 * 2133 / 200, 0.01)
    for name, share in (("pynq-z2", 0.85), ("kv260", 0.75), ("zcu104", 0.75)):
        model = for_config(preset(name))
        got = model.deliverable_bytes_per_cycle / model.peak_bytes_per_cycle
        assert got == pytest.approx(share, abs=0.005)


def test_refusals_name_the_rule():
    with pytest.raises(UsageError, match=r"^the memory of pynq-z2 is modelled at 100 and 150 MHz, "
                                         r"not at 125; choose one of these clocks$"):
        for_config(preset("pynq-z2"), 125)
    with pytest.raises(UsageError, match="no memory model for configuration 'mine', only for pynq"):
        for_config(preset("tiny").replace(name="mine"))


def test_hash_covers_every_constant_and_not_the_name():
    model = for_config(preset("pynq-z2"))
    assert model.hash == dataclasses.replace(model, name="other").hash
    assert model.hash == "ee1ea41ba3677c81", "results that carry this hash would become orphans"
    for field in dataclasses.fields(model):
        if field.name != "name":
            changed = dataclasses.replace(model, **{field.name: getattr(model, field.name) + 1})
            assert changed.hash != model.hash, field.name


def test_latency_factor():
    model = for_config(preset("kv260"))
    doubled = model.with_latency_factor(2)
    assert (doubled.read_latency, doubled.write_latency) == (160, 80)
    assert doubled.hash != model.hash
    assert dataclasses.replace(doubled, name=model.name, read_latency=80, write_latency=40) == model


def test_roofline_takes_the_tightest_bound():
    config = preset("pynq-z2")
    model = for_config(config)
    # 128 x 384 x 384: 73,728 cycles of array; 196,608 bytes in and 49,152 out.
    macs = 128 * 384 * 384
    read, written = 128 * 384 + 384 * 384, 128 * 384
    assert roofline_cycles(config, model, macs, read, written) == macs / 256 == 73728
    assert roofline_cycles(config, model, 0, 1600, 0) == 100
    assert roofline_cycles(config, model, 0, 0, 1600) == 100
    assert roofline_cycles(config, model, 0, 1000, 785) == pytest.approx(100)
