"""Whole programs on a Verilated top whose array is made of DSP48 blocks, simulated by our model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from program_strategies import seeded
from test_attainment import QUICK, TARGETS
from weft.backend.emulator import execute
from weft.backend.rtl import build
from weft.backend.rtl.backend import RtlBackend
from weft.backend.rtl.library import Stalls
from weft.measure.bench import GemmBench, random_runs
from weft.verify import verify
from weft_hw.config import AcceleratorConfig, preset
from weft_hw.verilog import emit

pytestmark = pytest.mark.sim

MODEL = Path(__file__).parent / "models" / "dsp48.v"
PROGRAMS = 80
FORMS = (("tiny", "xc7"), ("tiny-wide", "xcup"))
FULL_FORMS = (("tiny", "xcup"), ("tiny-wide", "xc7"))
STALLS = (0.0, 0.2, 0.0, 0.5)


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Makes the simulators of a target."""
    portable = build.library

    def make(name: str, target: str) -> AcceleratorConfig:
        def library(config, trace=False, progress=None):
            text = emit(config, tmp_path, target).read_text() + MODEL.read_text()
            source = tmp_path / "packed.v"
            source.write_text(text)
            return build.library_from_verilog(source, config, trace, progress)

        monkeypatch.setattr(build, "library", library if target != "portable" else portable)
        return preset(name)

    return make


def run_programs(config: AcceleratorConfig, count: int) -> None:
    """Run random programs against the emulator."""
    with RtlBackend(config, watchdog_cycles=20_000, timeout_cycles=1_000_000) as rtl:
        for seed in range(count):
            program = seeded(seed, config)
            verify(program)
            want = program.image()
            execute(config, program.instructions, want)
            rtl.load(program)
            rtl.simulation.set_stalls(Stalls.all(seed, STALLS[seed % len(STALLS)]))
            rtl.run({})
            got = np.frombuffer(rtl.memory(), np.uint8)
            wrong = np.flatnonzero(got != want)
            assert not len(wrong), f"seed {seed}: first difference at arena offset {wrong[0]}"


@pytest.mark.parametrize(("name", "target"), FORMS)
def test_random_programs(packed, name, target):
    run_programs(packed(name, target), PROGRAMS)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "target"), FULL_FORMS)
def test_random_programs_of_other_forms(packed, name, target):
    run_programs(packed(name, target), 1000)


def products(config: AcceleratorConfig, shapes: list[tuple[int, int, int]]) -> list:
    """Measured products, all equal to torch's integers."""
    bench = GemmBench(config, "rtl")
    try:
        results = random_runs(bench, shapes, "int8", 1, lambda _: None)
    finally:
        bench.close()
    assert all(r.exact for r in results)
    return results


def test_cycles_of_products(packed):
    """A product costs the stage that packed cells have more, each time that results are awaited."""
    shapes = [(8, 8, 8), (40, 32, 24), (1, 64, 64), (100, 72, 16)]
    want, got = (
        [r.cycles for r in products(packed("tiny", target), shapes)]
        for target in ("portable", "xc7")
    )
    print(dict(zip(shapes, zip(want, got, strict=True), strict=True)))
    for before, after in zip(want, got, strict=True):
        assert abs(after - before) <= max(2, 0.003 * before)


def check_attainment(request, config: AcceleratorConfig, shapes: list[tuple[int, int, int]]):
    """The board's preset with its packed cells reaches what it reaches with portable ones."""
    for shape, result in zip(shapes, products(config, shapes), strict=True):
        request.config.weft_rates.append(
            f"pynq-z2, packed, {'x'.join(map(str, shape))}: {result.cycles} cycles, attainment "
            f"{result.attainment:.4f}"
        )
        assert result.attainment >= TARGETS[("pynq-z2", *shape)]


@pytest.mark.timeout(1200)
def test_attainment(packed, request):
    """A matrix product and a matrix-vector product: less than a minute with its simulator."""
    check_attainment(request, packed("pynq-z2", "xc7"), [(128, 384, 384), (1, 384, 1536)])


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_attainment_of_the_other_shapes(packed, request):
    check_attainment(request, packed("pynq-z2", "xc7"), [case[1:] for case in QUICK])
