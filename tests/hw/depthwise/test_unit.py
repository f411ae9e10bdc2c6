"""The depthwise unit against its naive model: windows of all kinds, with and without conflicts."""

from dataclasses import replace

import numpy as np
import pytest

from depthwise_bench import Machine, cycles_of, naive, random_instruction, simulate
from weft.program.window_nest import WindowNest
from weft_hw.config import PRESETS
from weft_hw.isa import ErrorCode, Instruction


def machine_and_program(name, seed, count):
    rng = np.random.default_rng(seed)
    machine = Machine(PRESETS[name], rng)
    return machine, [random_instruction(machine, rng) for _ in range(count)]


@pytest.mark.parametrize("traffic", [0.0, 0.9], ids=["full-rate", "conflicts"])
@pytest.mark.parametrize("name", ["tiny", "tiny-wide"])
@pytest.mark.parametrize("seed", range(3))
def test_random_windows(name, traffic, seed):
    machine, program = machine_and_program(name, seed, 4)
    program = [replace(i, posts=(n, n + 8)) for n, i in enumerate(program)]
    want = naive(machine, program)
    assert (want != machine.lines).any()
    found = simulate(machine, program, traffic=traffic, seed=seed)
    assert not found.errors
    different = np.argwhere(found.lines != want)
    assert not len(different), f"line, lane {different[0]}: {len(different)} differ"
    assert (found.conflicts > 0) == (traffic > 0)
    nests = [WindowNest(i) for i in program]
    assert found.fires == sum(n.results * n.phases for n in nests)
    assert [p for _, p in found.retired] == [1 | n << 1 | 1 << 5 | (n + 8) << 6 for n in range(4)]
    if not traffic:
        took = [end - begin for begin, (end, _) in zip(found.started, found.retired)]
        assert took == [cycles_of(i) for i in program]


@pytest.mark.parametrize("seed", range(2))
def test_parameters_change_between_results(seed):
    """A result for each block: the last one still needs its parameters when those of the next come,
    and begins late where its bank is taken."""
    rng = np.random.default_rng(seed)
    machine = Machine(PRESETS["tiny"], rng)
    program = [random_instruction(machine, rng, kernel=(2, 2), outer=(1, 1, 8)) for _ in range(6)]
    found = simulate(machine, program, traffic=0.9, seed=seed)
    assert found.conflicts > 20 and (found.lines == naive(machine, program)).all()


def test_addresses_outside_stop_the_core():
    rng = np.random.default_rng(1)
    machine = Machine(PRESETS["tiny"], rng)
    good = random_instruction(machine, rng, kernel=(3, 3))
    lines = machine.lines.shape[0]
    words = machine.config.line_bytes // 4
    for change in (
        {"act_address": (lines - 1) * words},
        {"act_address": 0, "act_jump1": -words},
        {"result_address": lines * words},
        {"tap_address": machine.config.tap_words - 1},
    ):
        bad = Instruction(good.opcode, fields={**good.fields, **change})
        found = simulate(machine, [bad])
        assert found.errors[0] == (ErrorCode.ADDRESS, 0), change
