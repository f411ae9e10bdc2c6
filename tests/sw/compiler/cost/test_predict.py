"""Predicted cycles: the targets of the shapes that matter, and laws that any prediction obeys."""

from __future__ import annotations

import pytest

from weft.compiler.cost.predict import predict
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.schedule.search import Schedule, schedule_node
from weft.dram import memory_of
from weft.errors import UsageError
from weft_hw.config import preset
from weft_hw.isa import Instruction, Opcode

#: Roofline over cycles, at least; twice the latency may cost 0.02 of it.
TARGETS = {
    "pynq-z2": {
        (128, 384, 384): 0.97,
        (128, 384, 1536): 0.97,
        (128, 1536, 384): 0.97,
        (128, 768, 3072): 0.97,
        (196, 512, 512): 0.97,
        (3136, 64, 128): 0.97,
        (12544, 32, 64): 0.94,
        (1, 384, 1536): 0.95,
        (1, 2048, 5632): 0.95,
        (1, 4096, 4096): 0.95,
    },
    "kv260": {(512, 1024, 1024): 0.97, (1, 4096, 4096): 0.95},
}
CASES = [(name, shape, least) for name, of in TARGETS.items() for shape, least in of.items()]


def schedule(name: str, shape: tuple[int, int, int], latency: int = 1) -> Schedule:
    config = preset(name)
    memory = memory_of(config).with_latency_factor(latency)
    return schedule_node(config, GemmProblem(*shape), memory)


@pytest.mark.parametrize(("name", "shape", "least"), CASES)
def test_attainment(name: str, shape: tuple[int, int, int], least: float) -> None:
    assert schedule(name, shape).attainment >= least


@pytest.mark.parametrize(("name", "shape", "least"), CASES)
def test_attainment_with_twice_the_latency(
    name: str, shape: tuple[int, int, int], least: float
) -> None:
    assert schedule(name, shape, 2).attainment >= least - 0.02


def test_a_small_job_is_short() -> None:
    assert schedule("pynq-z2", (16, 16, 16)).prediction.cycles <= 400


def test_twice_the_rows_cost_at_most_twice_the_cycles() -> None:
    for m in (128, 300):
        once = schedule("pynq-z2", (m, 384, 384)).prediction.cycles
        twice = schedule("pynq-z2", (2 * m, 384, 384)).prediction.cycles
        assert twice <= 2.02 * once


def test_no_prediction_beats_the_roofline() -> None:
    for name in ("tiny", "tiny-wide", "pynq-z2", "kv260"):
        for shape in ((1, 300, 200), (70, 90, 50), (64, 64, 64), (500, 8, 8)):
            chosen = schedule(name, shape)
            assert chosen.prediction.cycles >= chosen.roofline
            assert chosen.prediction.array_cycles >= GemmProblem(*shape).macs / (
                chosen.config.macs_per_cycle
            )


def test_a_deadlock_is_reported() -> None:
    config = preset("tiny")
    program = [Instruction(Opcode.SETUP, waits=(0,)), Instruction(Opcode.END)]
    with pytest.raises(UsageError, match="deadlocks"):
        predict(program, config, memory_of(config))
