"""The compute unit with its scratchpad under cocotb: results, tile period, latency."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from compute_bench import Machine, gemm, naive
from weft_hw.compute.unit import ComputeUnit
from weft_hw.config import preset
from weft_hw.interface import chip_address_bits
from weft_hw.isa import ResultType, encode_program
from weft_hw.memory.scratchpad import Scratchpad

pytestmark = pytest.mark.sim

#: The array of the board presets with small memories, and the widest of the test presets.
CONFIGS = {
    "16x16": preset("pynq-z2").replace(
        accumulator_rows=64,
        scratchpad_bank_bytes=4096,
        weight_buffer_bytes=8192,
        parameter_entries=128,
        tables=2,
    ),
    "tiny-wide": preset("tiny-wide"),
}


class Compute(wiring.Component):
    """Flat ports around a compute unit and a scratchpad; writes go to the memory `space`."""

    def __init__(self, config):
        self.config = config
        address, bits = chip_address_bits(config), 8 * config.dma_bytes
        super().__init__(
            {
                "word": In(512), "start": In(1), "ready": Out(1),
                "space": In(2), "address": In(address), "data": In(bits), "write": In(1),
                "written": Out(1),
                "read": In(1), "read_address": In(address), "read_ready": Out(1),
                "read_data": Out(bits), "read_valid": Out(1),
                "row": Out(1), "retired": Out(1), "failed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.compute = unit = ComputeUnit(self.config)
        m.submodules.scratchpad = pad = Scratchpad(self.config)
        full = (1 << self.config.axi_ports) - 1
        m.d.comb += [
            unit.port.start.payload.word.eq(self.word),
            unit.port.start.valid.eq(self.start),
            self.ready.eq(unit.port.start.ready),
            pad.result.eq(unit.result),
            pad.store.address.eq(self.read_address), pad.store.valid.eq(self.read),
            self.read_ready.eq(pad.store.ready),
            self.read_data.eq(pad.store.data), self.read_valid.eq(pad.store.data_valid),
            self.row.eq(unit.array_row), self.retired.eq(unit.port.retire.valid),
            self.failed.eq(unit.port.error.valid),
        ]
        wiring.connect(m, unit.array, pad.array)
        for space, port in enumerate((pad.load, unit.weights, unit.parameters, unit.tables)):
            here = self.space == space
            m.d.comb += [
                port.valid.eq(self.write & here),
                port.address.eq(self.address),
                port.data.eq(self.data),
                port.mask.eq(full),
            ]
            with m.If(here):
                m.d.comb += self.written.eq(port.ready)
        return m


def periods(config, m, tiles):
    """Cycles between the tiles of gemm(m, tiles, 2): exactly max(M, R/L), and C/2 where two tiles
    in a row take parameters."""
    out = [max(m, config.tile_words)] * (2 * tiles - 1)
    out[tiles - 1] = max(out[0], config.cols // 2)
    return out


@pytest.mark.parametrize("gap", [0, 9], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("name", CONFIGS)
def test_compute(bench, seed, tmp_path, name, gap):
    config = CONFIGS[name]
    h, r = config.tile_words, config.rows
    machine = Machine(config, np.random.default_rng(seed))
    jobs = [(m, 6, 2, ResultType.INT8) for m in sorted({1, 2, h - 1, h, h + 1, r, r + 1})]
    jobs += [(5, 2, 2, kind) for kind in ResultType]
    programs = [gemm(config, *job, table=i % 3) if job[3] is ResultType.INT8 else
                gemm(config, *job) for i, job in enumerate(jobs)]
    # What neither changes the cells nor the order: maxima, and residuals, which take their time.
    residual = {"residual": 1, "residual_zero_point": -9, "residual_multiplier": 2500}
    others = [(h, 3, 2), (1, 2, 2), (r + 1, 1, 2), (3, 1, 1)]
    jobs += [(*job, ResultType.INT8) for job in others for _ in range(3)]
    for job in others:
        programs += [gemm(config, *job, table=2, **s) for s in (
            {"maximum": 1}, residual, {"maximum": 1, **residual, "zero_point": 1})]
    flat = [instruction for program in programs for instruction in program]
    case = tmp_path / "case.npz"
    np.savez(
        case,
        program=np.frombuffer(encode_program(flat), np.uint8),
        memories=np.array([0, 1, 2, 3]),
        m0=machine.scratchpad, m1=machine.weights,
        m2=machine.parameters.view(np.uint8), m3=machine.tables,
        expected=naive(machine, flat),
        rows=np.array([job[0] for job in jobs if job[1] == 6]),
        periods=np.array([periods(config, job[0], 6) for job in jobs if job[1] == 6]),
        latency=ComputeUnit(config).RETIRE_LATENCY,
    )
    module = "compute_" + name.replace("-", "_")
    outcome = bench(Compute(config), "bench_compute", name=module, case=str(case), gap=gap,
                    dma_bytes=config.dma_bytes)
    assert outcome.tests == 1
