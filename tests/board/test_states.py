"""States, patches and digests on a board, through the process that has pynq."""

from __future__ import annotations

import numpy as np
import pytest

from board_script import FIRST, cache, product
from stateful import Decoding, TwoSteps
from virtual_boards import CORES, passes
from weft.backend.emulator import EmulatorBackend
from weft.backend.pynq.process import PynqProcess
from weft.errors import DeviceError, Mismatch, UsageError
from weft.program import Program
from weft_hw.config import preset

pytestmark = [pytest.mark.sim, pytest.mark.slow]


@pytest.fixture
def board(served, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with PynqProcess(served.bitstream, served.host, python=served.python) as found:
        yield found


class Both:
    """A board and the emulator, which do the same."""

    def __init__(self, board, emulator) -> None:
        self.board, self.backends = board, (board, emulator)

    def load(self, program: Program) -> None:
        for backend in self.backends:
            backend.load(program)

    def run(self, inputs, patches=None) -> dict[str, np.ndarray]:
        found, wanted = (b.run(inputs, patches) for b in self.backends)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)
        for name in self.board.program.states:
            np.testing.assert_array_equal(*(b.read_state(name) for b in self.backends))
        assert self.board.memory() == self.backends[1].memory()
        return found


@pytest.fixture
def both(board):
    with EmulatorBackend(board.config) as emulator:
        yield Both(board, emulator)


def test_two_steps_and_a_loop_keep_their_states_side_by_side(both):
    board, rng = both.board, np.random.default_rng(2)
    steps, loop = TwoSteps(board.config), Decoding(board.config)
    for position in range(3):
        both.load(steps.compiled)
        x = rng.integers(-128, 128, steps.compiled.inputs["x"].shape, np.int8)
        np.testing.assert_array_equal(both.run({"x": x})["out"].reshape(-1), steps.step(x))
        both.load(loop.compiled)
        both.run({}, {"position": position})
        loop.step(position)
        for name in ("cache", "seen"):
            np.testing.assert_array_equal(board.read_state(name), getattr(loop, name))


@pytest.mark.parametrize("joined", [False, True])
def test_a_state_lives_until_it_is_reset_or_its_program_is_unloaded(both, joined):
    board, rng = both.board, np.random.default_rng(1)
    program, other = cache(board.config, joined), product(board.config)

    def step(slot: int) -> np.ndarray:
        x = rng.integers(1, 128, (1, 16), np.int8)
        out = both.run({"x": x}, {"slot": slot})["out"]
        assert (board.read_state("cache")[slot] == x).all()
        return out

    both.load(program)
    assert (step(0)[2] == FIRST).all()
    assert step(1)[0].all()
    for slot in (3, 3, 7):
        step(slot)
    both.load(other)
    both.run({n: np.ones(s.shape, np.int8) for n, s in other.inputs.items()})
    both.load(Program.from_bytes(program.to_bytes()))  # known by its digest
    assert step(2)[7].all()
    for backend in both.backends:
        backend.reset()
        assert (backend.read_state("cache")[2] == FIRST).all()
        assert not backend.read_state("cache")[3:].any()
    assert not step(4)[7].any()
    for backend in both.backends:
        backend.unload(other)
    assert step(5)[4].all()
    for backend in both.backends:
        backend.unload(program)
        with pytest.raises(UsageError, match="has no program"):
            backend.run({})
    both.load(program)
    assert not step(6)[4].any()
    board.unload()
    board.load(program)
    assert not board.read_state("cache")[6].any()


def test_a_run_sends_inputs_and_instructions_that_change(served):
    passes(
        served,
        """
import numpy as np
backend = open_board()
backend.load(cache(backend.config))
x = {"x": np.ones((1, 16), np.int8)}
sent = []
for slot in (1, 1, 2):
    before = counts(backend)
    backend.run(x, {"slot": slot})
    sent.append(counts(backend)["buffer_bytes_written"] - before["buffer_bytes_written"])
assert sent == [8192, 4096, 8192], sent
backend.close()
""",
    )


def test_errors_keep_their_class_on_the_way(board):
    board.load(cache(board.config))
    x = {"x": np.zeros((1, 16), np.int8)}
    with pytest.raises(UsageError, match="'slot' has no value"):
        board.run(x)
    with pytest.raises(UsageError, match="must be an int in 0..7, not 8"):
        board.run(x, {"slot": 8})
    with pytest.raises(UsageError, match="no state 'h'"):
        board.read_state("h")
    wrong = preset("tiny" if board.config.hash != preset("tiny").hash else "tiny-wide")
    with pytest.raises(Mismatch, match=wrong.hash):
        board.load(product(wrong))
    board.load(cache(board.config))
    board.run(x, {"slot": 0})
    assert board.cost.seconds > 0 and 0 < board.cost.accesses <= 12
    ask = board._process.ask
    with pytest.raises(UsageError, match="no operation 'dance', only facts, open"):
        ask("dance")
    with pytest.raises(DeviceError, match="run failed in the Python with pynq: TypeError"):
        ask("run", walk=1)
    board.run(x, {"slot": 1})
    board._process.process.kill()
    with pytest.raises(DeviceError, match="has ended before it answered 'run'"):
        board.run(x, {"slot": 2})


def test_memory_that_is_short_stays_that_error(small_memory, monkeypatch):
    from weft.backend.pynq.transport import MemoryExhausted

    monkeypatch.setenv("no_proxy", "*")
    config = CORES["zcu104"]
    where = (small_memory.bitstream, small_memory.host)
    with PynqProcess(*where, python=small_memory.python) as board:
        program = cache(config)  # 6 pages, and 4 of its own
        board.load(program)
        board.run({"x": np.ones((1, 16), np.int8)}, {"slot": 0})
        with pytest.raises(MemoryExhausted, match="unload programs"):
            board.load(product(config, 40, 80, 40))
        board.load(program)  # its state was not given away
        assert board.read_state("cache")[0].all()
        board.unload(program)
        board.load(product(config))
