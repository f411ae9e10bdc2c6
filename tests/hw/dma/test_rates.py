"""How many cycles transfers take, and that a slow chip loses nothing."""

from __future__ import annotations

from dma_bench import Bench, Stalls
from transfers import check_load, check_store, every_config, one, run_one, two_configs
from weft_hw.isa import Opcode


@every_config
def test_load_rate(config):
    """8 KiB in a run: D bytes a cycle from the first word to the last, whatever its shape."""
    size, words = 8192, 8192 // config.dma_bytes
    size = min(size, config.scratchpad_bytes)
    words = size // config.dma_bytes
    bench = Bench(config, seed=1, latency=20)
    instruction = one(Opcode.LOAD, size // 8, rows=8)
    cycles = run_one(bench, instruction)
    check_load(bench, instruction)
    assert bench.last_word - bench.first_word + 1 <= words + config.axi_ports
    # 20 of memory latency, 3 to prepare, 7 to walk and address, the rest to gather and retire.
    assert cycles <= words + 20 + 24
    assert max(port.peak_reads for port in bench.ports) <= config.read_outstanding


@every_config
def test_load_rate_of_many(config):
    """A queue of 1 KiB loads keeps the bus as busy as one long load."""
    bench = Bench(config, seed=2, latency=20)
    loads = [one(Opcode.LOAD, 1024, offset=1024 * i, chip=1024 * i) for i in range(8)]
    words = 8192 // config.dma_bytes
    assert run_one(bench, *loads) <= words + 20 + 32


@every_config
def test_load_rate_of_rows(config):
    """Short rows, spread over the ports by an odd pitch: at most 3 cycles a row.

    Where few bursts may be under way, the memory's latency bounds the rate instead.
    """
    bench = Bench(config, seed=3, latency=20)
    pitch = config.stripe_bytes * config.axi_ports + config.stripe_bytes
    rows = bench.arena_bytes // pitch
    instruction = one(Opcode.LOAD, 16, rows=rows, dram_pitch=pitch, chip_pitch=8)
    waiting = (20 + 6) / (config.read_outstanding * config.axi_ports)
    assert run_one(bench, instruction) <= max(3, waiting) * rows + 60
    check_load(bench, instruction)


@every_config
def test_store_rate(config):
    """8 KiB in a run: D bytes a cycle from the first beat to the last."""
    size = min(8192, config.scratchpad_bytes)
    words = size // config.dma_bytes
    bench = Bench(config, seed=4, latency=20, read_latency=8)
    instruction = one(Opcode.STORE, size // 4, rows=4)
    cycles = run_one(bench, instruction)
    check_store(bench, instruction)
    assert bench.last_beat - bench.first_beat + 1 <= words + config.axi_ports
    assert cycles <= words + 8 + 10 + 32


@two_configs
def test_both_directions_rate(config):
    """A load and a store do not slow each other down."""
    bench = Bench(config, seed=5, latency=20)
    size = min(4096, config.scratchpad_bytes // 2)
    cycles = run_one(
        bench,
        one(Opcode.LOAD, size),
        one(Opcode.STORE, size, offset=1 << 15, chip=size),
    )
    assert cycles <= size // config.dma_bytes + 60


@two_configs
def test_slow_chip_loses_nothing(config):
    """Back-pressure of the chip reaches the bus; nothing is dropped."""
    bench = Bench(config, seed=6, stalls=Stalls(chip_write=0.8, chip_read=0.8))
    load = one(Opcode.LOAD, 2048, chip=0)
    store = one(Opcode.STORE, 2048, offset=1 << 15, chip=2048)
    run_one(bench, load, store)
    check_load(bench, load)
    check_store(bench, store)
