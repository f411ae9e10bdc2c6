"""The whole accelerator under cocotb: registers, interrupt, a matrix multiplication, an error."""

from __future__ import annotations

import numpy as np
import pytest

from weft.backend.emulator import EmulatorBackend
from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.requant import Requant
from weft.compiler.lower.program import compile_graph
from weft_hw.config import preset
from weft_hw.top import Top

pytestmark = pytest.mark.sim

CONFIGS = {
    "tiny": preset("tiny"),
    "tiny-wide": preset("tiny-wide").replace(axi_protocol="axi4"),
}


def gemm_case(config, shape, seed, path):
    """(program, file with its first memory image and the emulator's last)."""
    m, k, n = shape
    random = np.random.default_rng(seed)
    layer = linear_layer(
        "product",
        random.integers(-127, 128, (k, n), dtype=np.int8),
        random.integers(-4000, 4000, n, dtype=np.int32),
        Requant(random.integers(20_000, 1 << 17, n), random.integers(20, 25, n)),
        rows=m,
    )
    program = compile_graph(layer, config)
    a = random.integers(-128, 128, (m, k), dtype=np.int8)
    image = program.image()
    program.inputs["a"].write(image, a)
    with EmulatorBackend(config) as emulator:
        emulator.load(program)
        emulator.run({"a": a})
        expected = np.frombuffer(emulator.memory(), np.uint8)
    np.savez(path, image=image, expected=expected)
    return program, path


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("name", CONFIGS)
def test_top(bench, seed, tmp_path, name, stall):
    config = CONFIGS[name]
    program, case = gemm_case(config, (16, 32, 16), seed, tmp_path / "case.npz")
    outcome = bench(
        Top(config),
        "bench_top",
        name="weft_top",
        case=str(case),
        ports=config.axi_ports,
        stall=stall,
        config_hash=config.hash,
        program_offset=program.program_offset,
        program_length=len(program.instructions),
        # The memory of the bench answers at once, so DRAM latency is an upper bound.
        max_cycles=round(program.metadata["predicted_cycles"] * 1.05),
    )
    assert outcome.tests == 3
