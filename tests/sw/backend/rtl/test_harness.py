"""The simulation harness against a traffic generator whose every cycle is known."""

from __future__ import annotations

import dataclasses
from contextlib import closing

import numpy as np
import pytest

import rtl_stub as stub
from weft import tools
from weft.backend.rtl import build
from weft.backend.rtl.library import (
    DECERR,
    SLVERR,
    ProtocolError,
    Simulation,
    Stalls,
    memory_base,
)
from weft.dram import memory_of
from weft.errors import DeviceError
from weft_hw.config import preset

MISSING = "; ".join(tools.missing_for_simulation())
pytestmark = [
    pytest.mark.sim,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]

#: Two 64-bit AXI3 ports below 4 GiB, and four 128-bit AXI4 ports above.
CONFIGS = {
    "axi3": preset("tiny-wide").replace(read_outstanding=16, write_outstanding=16),
    "axi4": preset("kv260"),
}
MEMORY_BYTES = 1 << 20
TARGET = 0x80000


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    found = {}
    for name, config in CONFIGS.items():
        source = tmp_path_factory.mktemp(name) / "weft_top.v"
        source.write_text(stub.stub(config, memory_base(config)))
        found[name] = source, build.library_from_verilog(source, config)
    return found


@pytest.fixture(params=CONFIGS)
def make(request, libraries):
    """Simulations with random memory, all closed at the end."""
    made = []

    def simulation(stalls=None, limits=(16, 16), **changes):
        base = CONFIGS[request.param]
        config = base.replace(read_outstanding=limits[0], write_outstanding=limits[1])
        model = dataclasses.replace(memory_of(base), **changes)
        sim = Simulation(libraries[request.param][1], config, model, MEMORY_BYTES)
        if stalls is not None:
            sim.set_stalls(stalls)
        sim.memory[:] = np.random.default_rng(1).integers(0, 256, MEMORY_BYTES)
        made.append(sim)
        return sim

    yield simulation
    for sim in made:
        sim.close()


def setup(sim, beats=16, bursts=32, read=0, write=TARGET, bad=0):
    for register, value in (
        (stub.READ_ADDRESS, read),
        (stub.WRITE_ADDRESS, write),
        (stub.BEATS, beats),
        (stub.BURSTS, bursts),
        (stub.MISBEHAVE, bad),
    ):
        sim.write_register(register, value)


def start(sim, what, limit=100_000):
    sim.write_register(stub.START, what)
    return sim.run(limit)


def latencies(sim, which):
    ports = range(sim.config.axi_ports)
    return [sim.read_register(stub.port_register(p, which))[0] for p in ports]


def status(sim):
    """(done, worst RRESP, worst BRESP), the last two or-ed over the ports."""
    value = sim.read_register(stub.STATUS)[0]
    return value & 1, value >> 2 & 3, value >> 4 & 3


def copied(sim, bursts=32):
    """Per port: what was read has been written."""
    size = bursts * 16 * sim.config.beat_bytes
    starts = [p * stub.PORT_STEP for p in range(sim.config.axi_ports)]
    return [
        np.array_equal(sim.memory[s : s + size], sim.memory[TARGET + s : TARGET + s + size])
        for s in starts
    ]


def test_registers(make):
    sim = make()
    assert sim.read_register(0) == (0x57454654, 0)
    assert sim.write_register(stub.READ_ADDRESS, 0x89ABCDEF) == 0
    assert sim.read_register(stub.READ_ADDRESS) == (0x89ABCDEF, 0)
    assert sim.write_register(0, 1) == SLVERR


def test_run_counts_cycles_and_stops_at_the_interrupt(make):
    sim = make()
    before = sim.cycle
    assert sim.run(123, until_irq=False) == 123
    assert sim.cycle == before + 123
    setup(sim, bursts=1)
    passed = start(sim, 1)
    assert sim.irq and passed < 200
    assert sim.run(1000) == 0


@pytest.mark.parametrize("factor", [1, 2])
def test_latency_of_a_lone_burst_is_exact(make, factor):
    sim = make()
    model = memory_of(CONFIGS["axi3"] if sim.config.axi_protocol == "axi3" else CONFIGS["axi4"])
    if factor == 2:
        model = model.with_latency_factor(2)
        sim = make(read_latency=model.read_latency, write_latency=model.write_latency)
    setup(sim, bursts=1)
    start(sim, 1)
    assert latencies(sim, 0) == [model.read_latency] * sim.config.axi_ports
    # A port alone moves a beat per cycle.
    assert latencies(sim, 1) == [model.read_latency + 15] * sim.config.axi_ports
    start(sim, 2)
    assert latencies(sim, 2) == [model.write_latency] * sim.config.axi_ports
    assert all(copied(sim, 1))


def test_outstanding_bursts_hide_the_latency(make):
    """One beat per port and cycle, each way, while the memory could deliver more."""
    sim = make(deliverable_bytes_per_cycle=1000.0)
    setup(sim, bursts=32)
    start(sim, 1)
    assert latencies(sim, 1) == [sim_latency(sim)[0] + 32 * 16 - 1] * sim.config.axi_ports
    start(sim, 2)
    longest = sim_latency(sim)[1] + 32 * 16 + 2
    assert all(n <= longest for n in latencies(sim, 3))
    assert all(copied(sim))
    assert sim.stats.max_reads > 2 and sim.stats.read_bursts == 32 * sim.config.axi_ports


def sim_latency(sim):
    model = memory_of(CONFIGS[sim.config.axi_protocol])
    return model.read_latency, model.write_latency


@pytest.mark.parametrize("rate", [None, 3.3, 7.0])
def test_all_traffic_shares_the_deliverable_rate(make, rate):
    """Reads and writes of all ports together: never above the rate, and within 2 % of it."""
    sim = make() if rate is None else make(deliverable_bytes_per_cycle=rate)
    rate = rate or memory_of(CONFIGS[sim.config.axi_protocol]).deliverable_bytes_per_cycle
    ports = sim.config.axi_ports
    assert rate < 2 * ports * sim.config.beat_bytes, "the rate would not be what limits"
    setup(sim, bursts=60)
    start(sim, 3)
    stats = sim.stats
    moved = stats.read_bytes + stats.written_bytes
    assert moved == 2 * 60 * 16 * sim.config.beat_bytes * ports
    reading, writing = latencies(sim, 1), latencies(sim, 3)
    longest = max(reading + writing)
    # A quiet bus saves up one beat each way on every port, and one cycle's worth; no more.
    saved = 2 * ports * sim.config.beat_bytes + rate
    assert longest >= (moved - saved) / rate
    # The pipeline fills once; nothing else may be lost.
    assert longest <= moved / rate * 1.02 + sum(sim_latency(sim))
    # Round robin: no port is served better than another.
    assert max(reading) - min(reading) <= 8 * ports
    assert max(writing) - min(writing) <= 8 * ports


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_stalls_change_the_time_and_not_the_data(make, seed):
    quiet = make()
    setup(quiet)
    calm = start(quiet, 1)
    runs = []
    for _ in range(2):
        sim = make(Stalls.all(seed, 0.4))
        setup(sim)
        runs.append((start(sim, 1), start(sim, 2)))
        assert all(copied(sim))
    assert runs[0] == runs[1], "the same seed gives the same run"
    assert runs[0][0] > 1.3 * calm


def test_seeds_differ(make):
    times = set()
    for seed in range(4):
        sim = make(Stalls.all(seed, 0.4))
        setup(sim)
        times.add((start(sim, 1), start(sim, 2)))
    assert len(times) == 4


@pytest.mark.parametrize("channel, what", [
    ("arready", 1), ("rvalid", 1), ("awready", 2), ("wready", 2), ("bvalid", 2),
])  # fmt: skip
def test_each_channel_can_be_held_back_for_ever(make, channel, what):
    sim = make(Stalls(**{channel: 1.0}))
    setup(sim, bursts=2)
    assert start(sim, what, 2000) == 2000 and not sim.irq
    stats, ports = sim.stats, sim.config.axi_ports
    expected = {
        "arready": (0, 0, 0, 0), "rvalid": (2 * ports, 0, 0, 0), "awready": (0, 0, 0, 0),
        "wready": (0, 0, 2 * ports, 0),
        "bvalid": (0, 0, 2 * ports, 32 * sim.config.beat_bytes * ports),
    }[channel]  # fmt: skip
    assert (
        stats.read_bursts, stats.read_bytes, stats.write_bursts, stats.written_bytes
    ) == expected  # fmt: skip
    sim.set_stalls(Stalls())
    assert sim.run(2000) < 2000 and status(sim) == (1, 0, 0)


def test_a_write_is_visible_with_its_response_and_not_before(make):
    sim = make(write_latency=500)
    before = sim.memory.copy()
    setup(sim, bursts=1)
    start(sim, 1)
    assert start(sim, 2, 400) == 400
    assert sim.stats.written_bytes == 16 * sim.config.dma_bytes
    assert np.array_equal(sim.memory, before)
    sim.run(1000)
    assert all(copied(sim, 1))


@pytest.mark.parametrize("response", [SLVERR, DECERR])
def test_read_faults(make, response):
    sim = make()
    setup(sim, bursts=4)
    # The last byte of the second burst of port 0, and one byte behind all that is read.
    second = 32 * sim.config.beat_bytes
    sim.add_fault(4 * 16 * sim.config.beat_bytes, 4 * 16 * sim.config.beat_bytes + 1, 2, reads=True)
    sim.add_fault(second - 1, second, response, writes=True)
    start(sim, 1)
    assert status(sim) == (1, 0, 0)
    sim.add_fault(second - 1, second, response, reads=True)
    start(sim, 1)
    assert status(sim) == (1, response, 0)
    sim.clear_faults()
    start(sim, 1)
    assert status(sim) == (1, 0, 0)


@pytest.mark.parametrize("response", [SLVERR, DECERR])
def test_write_faults_leave_the_memory_alone(make, response):
    sim = make()
    setup(sim, bursts=4)
    start(sim, 1)
    burst = 16 * sim.config.beat_bytes
    at = TARGET + 2 * burst
    before = sim.memory[at : at + burst].copy()
    sim.add_fault(at + 5, at + 6, response, reads=True)
    sim.add_fault(at + 5, at + 6, response, writes=True)
    start(sim, 2)
    assert status(sim) == (1, 0, response)
    assert np.array_equal(sim.memory[at : at + burst], before)
    assert np.array_equal(sim.memory[TARGET : TARGET + 2 * burst], sim.memory[: 2 * burst])
    sim.clear_faults()
    start(sim, 2)
    assert status(sim) == (1, 0, 0) and all(copied(sim, 4))


@pytest.mark.parametrize("what", [1, 2])
def test_a_memory_that_stops_answering(make, what):
    sim = make()
    setup(sim, bursts=8)
    start(sim, 1)
    sim.hang(**{"reads_from" if what == 1 else "writes_from": 3})
    before = sim.stats
    assert start(sim, what, 3000) == 3000 and not sim.irq and not sim.memory_idle
    if what == 1:
        assert sim.stats.read_bytes - before.read_bytes == 3 * 16 * sim.config.beat_bytes
    sim.clear_faults()
    assert sim.run(3000) < 3000 and sim.memory_idle
    assert status(sim) == (1, 0, 0)


@pytest.mark.parametrize("bad, what, channel, text", [
    (stub.DROP_AR, 1, "arready", r"port \d: ARVALID fell before ARREADY"),
    (stub.CHANGE_AR, 1, "arready", r"port \d: the AR payload changed before ARREADY"),
    (stub.DROP_AW, 2, "awready", r"port \d: AWVALID fell before AWREADY"),
    (stub.DROP_W, 2, "wready", r"port \d: WVALID fell before WREADY"),
    (stub.CHANGE_W, 2, "wready", r"port \d: the W payload changed before WREADY"),
    (stub.EARLY_LAST, 2, None, r"port \d: WLAST is 1 at beat 1 of 16"),
    (stub.LATE_LAST, 2, None, r"port \d: WLAST is 0 at beat 16 of 16"),
    (stub.NARROW, 1, None, r"port \d: read burst at 0x\w+ has 4-byte beats"),
    (stub.WRONG_ID, 2, None, r"port \d: write burst at 0x\w+ has id 1, not 0"),
])  # fmt: skip
def test_protocol_errors_are_named(make, bad, what, channel, text):
    sim = make(Stalls(seed=1, **{channel: 0.9}) if channel else None)
    setup(sim, bursts=2, bad=bad)
    with pytest.raises(ProtocolError, match=r"^AXI: cycle \d+: " + text):
        start(sim, what)
    sim.reset()
    sim.set_stalls(Stalls())
    setup(sim, bursts=2)
    start(sim, 1)
    assert status(sim) == (1, 0, 0), "a new reset makes a good run possible"


def test_a_burst_that_crosses_4_kib(make):
    sim = make()
    setup(sim, bursts=1, read=4096 - sim.config.beat_bytes)
    with pytest.raises(ProtocolError, match=r"read burst at 0x\w+ of 16 beats crosses a 4 KiB"):
        start(sim, 1)


@pytest.mark.parametrize("what, kind", [(1, "read"), (2, "write")])
def test_a_burst_outside_the_memory(make, what, kind):
    sim = make()
    setup(sim, bursts=1, read=MEMORY_BYTES, write=MEMORY_BYTES)
    with pytest.raises(ProtocolError, match=rf"{kind} burst at 0x\w+ of 16 beats is outside"):
        start(sim, what)


def test_a_read_outside_the_window(make):
    sim = make()
    size = 2 * 16 * sim.config.beat_bytes
    sim.set_window(0, (sim.config.axi_ports - 1) * stub.PORT_STEP + size)
    setup(sim, bursts=2)
    start(sim, 1)
    setup(sim, bursts=3)
    with pytest.raises(ProtocolError, match=r"is outside the arena"):
        start(sim, 1)


def test_a_burst_that_is_too_long_or_unaligned(make):
    sim = make()
    if sim.config.axi_protocol == "axi4":
        setup(sim, bursts=1, beats=17)
        with pytest.raises(ProtocolError, match=r"has 17 beats, the limit is 16"):
            start(sim, 1)
        sim.reset()
    setup(sim, bursts=1, read=4)
    with pytest.raises(ProtocolError, match=r"is not aligned to its \d+-byte beats"):
        start(sim, 1)


@pytest.mark.parametrize("what, kind", [(1, "reads"), (2, "writes")])
def test_more_outstanding_than_configured(make, what, kind):
    sim = make(limits=(4, 2), write_latency=200)
    limit = {1: 4, 2: 2}[what]
    setup(sim)
    sim.write_register(stub.LIMIT, limit)
    start(sim, what)
    sim.write_register(stub.LIMIT, limit + 1)
    with pytest.raises(ProtocolError, match=rf"{limit + 1} {kind} are outstanding, the limit is"):
        start(sim, what)


def test_traces_only_when_asked(make, libraries, tmp_path):
    sim = make()
    with pytest.raises(DeviceError, match="^no trace can be written to .*; build the library with"):
        sim.trace(tmp_path / "never.vcd")
    assert not list(tmp_path.iterdir())


def test_trace_build_writes_vcd(libraries, tmp_path):
    config = CONFIGS["axi3"]
    path = build.library_from_verilog(libraries["axi3"][0], config, trace=True)
    with closing(Simulation(path, config, memory_of(config), MEMORY_BYTES)) as sim:
        sim.run(50, until_irq=False)
        sim.trace(tmp_path / "run.vcd")
        sim.run(50, until_irq=False)
    text = (tmp_path / "run.vcd").read_text()
    assert "$enddefinitions" in text and "aclk" in text
    assert f"#{2 * 70}\n" in text
