"""What programs keep between runs: on the emulator and on the Verilated accelerator."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stateful import Decoding, TwoSteps
from weft import tools
from weft.backend.base import Backend
from weft.backend.emulator import EmulatorBackend
from weft.backend.rtl.backend import RtlBackend
from weft.errors import DeviceError, ProgramRefused, UsageError
from weft.program import Program
from weft.verify import verify
from weft_hw.config import AcceleratorConfig, preset
from weft_hw.isa import ErrorCode

MISSING = "; ".join(tools.missing_for_simulation())
needs_tools = pytest.mark.skipif(bool(MISSING), reason=MISSING)
RTL = [pytest.mark.sim, pytest.mark.slow, needs_tools, pytest.mark.timeout(900)]


@pytest.fixture(params=["tiny", "tiny-wide"])
def config(request) -> AcceleratorConfig:
    return preset(request.param)


@pytest.fixture(params=["emulator", pytest.param("rtl", marks=RTL)])
def backend(request, config):
    opened = EmulatorBackend(config) if request.param == "emulator" else RtlBackend(config)
    with opened:
        yield opened


def inputs(config: AcceleratorConfig, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (2, 4, config.rows), np.int8)


def steps(backend: Backend, model: TwoSteps, seeds: range) -> None:
    """Run the loaded program and its model; each output and state is equal."""
    for seed in seeds:
        x = inputs(model.config, seed)
        got = backend.run({"x": x})["out"]
        np.testing.assert_array_equal(got.reshape(-1), model.step(x))
        np.testing.assert_array_equal(backend.read_state("h").reshape(-1), model.h.reshape(-1))


def test_a_state_survives_runs_reset_and_other_programs(backend, config):
    one, two, loop = TwoSteps(config), TwoSteps(config, seed=5), Decoding(config)
    for program in (one.compiled, two.compiled, loop.compiled):
        verify(program)
    backend.load(one.compiled)
    np.testing.assert_array_equal(backend.read_state("h").reshape(-1), one.first.reshape(-1))
    steps(backend, one, range(3))
    backend.load(two.compiled)
    steps(backend, two, range(3, 5))
    # The same program from its file is the same program.
    backend.load(Program.from_bytes(one.compiled.to_bytes()))
    steps(backend, one, range(5, 7))
    backend.load(loop.compiled)
    backend.run({}, {"position": 1})
    backend.load(two.compiled)
    steps(backend, two, range(7, 9))
    backend.reset()
    two.reset()
    steps(backend, two, range(9, 11))
    backend.load(one.compiled)
    steps(backend, one, range(11, 13))


def test_the_image_is_written_once(backend, config, monkeypatch):
    model, loop = TwoSteps(config), Decoding(config)
    stateless = dataclasses.replace(loop.compiled, states={}, outputs=loop.compiled.states)
    written = []
    write_image = Program.write_image
    monkeypatch.setattr(
        Program, "write_image", lambda p, buffer: written.append(p) or write_image(p, buffer)
    )
    backend.load(model.compiled)
    steps(backend, model, range(3))
    backend.load(model.compiled)
    backend.reset()
    assert written == [model.compiled]
    for program in (stateless, loop.compiled, stateless):
        backend.load(program)
    assert written[1:] == [stateless, loop.compiled, stateless], "a program without states may go"


def test_unload_forgets_states(backend, config):
    one, two = TwoSteps(config), TwoSteps(config, seed=5)
    for model in (one, two):
        backend.load(model.compiled)
        steps(backend, model, range(2))
    backend.unload(one.compiled)
    steps(backend, two, range(2, 3))
    backend.load(one.compiled)
    one.reset()
    steps(backend, one, range(3, 5))
    backend.unload()
    with pytest.raises(UsageError, match="has no program; call load"):
        backend.run({"x": inputs(config, 0)})
    with pytest.raises(UsageError, match="has no program; call load"):
        backend.reset()
    backend.load(two.compiled)
    two.reset()
    steps(backend, two, range(2))


def test_memory_is_equal_everywhere(config):
    if MISSING:
        pytest.skip(MISSING)
    loop = Decoding(config)
    with EmulatorBackend(config) as emulator, RtlBackend(config) as rtl:
        for opened in (emulator, rtl):
            opened.load(loop.compiled)
        for position in (0, 2, 1, 3):
            for opened in (emulator, rtl):
                opened.run({}, {"position": position})
            assert emulator.memory() == rtl.memory()


def test_addresses_and_counts_follow_a_patch(backend, config):
    loop = Decoding(config)
    verify(loop.compiled)
    backend.load(loop.compiled)
    for position in (0, 1, 3, 2, 3):
        backend.run({}, {"position": position})
        loop.step(position)
        np.testing.assert_array_equal(backend.read_state("cache"), loop.cache)
        np.testing.assert_array_equal(backend.read_state("seen"), loop.seen)
    assert loop.seen.any(axis=1).all()


def test_a_patched_program_does_the_same(backend, config):
    loop = Decoding(config)
    backend.load(loop.compiled.patched({"position": 2}))
    backend.run({})
    loop.step(2)
    np.testing.assert_array_equal(backend.read_state("cache"), loop.cache)


def test_patches_have_to_be_given(backend, config):
    loop = Decoding(config)
    backend.load(loop.compiled)
    with pytest.raises(UsageError, match=r"^patch 'position' has no value; give one in 0\.\.3$"):
        backend.run({})
    with pytest.raises(UsageError, match=r"must be an int in 0\.\.3, not 4"):
        backend.run({}, {"position": 4})
    with pytest.raises(UsageError, match="the program has no patch value 'row'"):
        backend.run({}, {"position": 0, "row": 4})
    assert not backend.read_state("cache").any()
    with pytest.raises(UsageError, match="no state 'h'; its states are: cache, seen"):
        backend.read_state("h")


def test_inputs_are_checked_before_anything_is_written(backend, config):
    model = TwoSteps(config)
    backend.load(model.compiled)
    for wrong in (np.zeros((8, config.rows), np.int8), np.zeros((2, 4, config.rows), np.int16)):
        with pytest.raises(UsageError, match=rf"input 'x' must be int8 \[2, 4, {config.rows}\]"):
            backend.run({"x": wrong})
    steps(backend, model, range(2))


def test_an_error_names_the_node(backend, config):
    model = TwoSteps(config)
    instructions = list(model.compiled.instructions)
    fields = {**instructions[7].fields, "dram_offset": model.compiled.arena_bytes - 16}
    instructions[7] = dataclasses.replace(instructions[7], fields=fields)
    program = dataclasses.replace(model.compiled, instructions=instructions)
    with pytest.raises(ProgramRefused, match=r"^node B \(linear\): instruction 7: LOAD in the"):
        verify(program)
    backend.load(program)
    with pytest.raises(DeviceError, match=r", in node B \(linear\)$") as caught:
        backend.run({"x": inputs(config, 0)})
    assert (caught.value.error_code, caught.value.instruction) == (ErrorCode.ARENA, 7)

