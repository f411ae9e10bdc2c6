"""The driver without a board: what it imports, what it costs, how it waits and places buffers."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from board_script import cache
from virtual_boards import environment
from weft.backend.emulator import EmulatorBackend
from weft.backend.pynq.backend import DriverBackend
from weft.backend.pynq.load import connect
from weft.backend.pynq.relocate import relocate, sections
from weft.backend.pynq.transport import MemoryExhausted, PynqTransport
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.errors import DeviceError, Unsupported, UsageError
from weft.measure.overhead import NullBuffer, NullMemory, NullRegisters, overhead
from weft.program import Program
from weft_hw import registers as reg
from weft_hw.config import preset

CONFIG = preset("tiny")

BLOCK = """
import builtins, sys
allowed = set(sys.stdlib_module_names) | {"numpy", "weft", "weft_hw"}
real = builtins.__import__
def importer(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and name.split(".")[0] not in allowed:
        outside = (globals or {}).get("__name__", "").split(".")[0]
        if outside in ("weft", "weft_hw"):
            raise ImportError(f"{(globals or {}).get('__name__')} imports {name}")
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = importer
import weft.backend.pynq.backend, weft.driver.device, weft.backend.pynq.load, weft.program
import weft.bundle.manifest, weft.bundle.virtual, weft_hw.boards, weft.backend.emulator
import weft.deploy.onboard, weft.deploy.remote, weft.deploy.selftest, weft.measure.overhead
import weft.program.npy
"""


def test_the_runtime_half_needs_numpy_only():
    done = subprocess.run(
        [sys.executable, "-c", BLOCK], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class Polled(NullRegisters):
    """A null device whose status is that of `polls` first."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.polls: list[int] = []

    def read(self, offset):
        if self.polls and offset == reg.REGISTERS["status"].offset:
            return self.polls.pop(0)
        return super().read(offset)


def transport(**options) -> PynqTransport:
    ip = SimpleNamespace(mmio=Polled())
    return PynqTransport(ip, NullMemory(), 100.0, **options)


def program(m=6, k=20, n=12):
    layer = random_linear(GemmProblem(m, k, n), np.random.default_rng(0))
    return compile_graph(layer, CONFIG)


def backend(with_transport: PynqTransport) -> DriverBackend:
    return DriverBackend(with_transport, CONFIG)


def zeros(compiled):
    return {n: np.zeros(s.shape, np.int8) for n, s in compiled.inputs.items()}


def test_a_run_costs_few_accesses():
    found = overhead(CONFIG, 5)
    assert 0 < found.accesses <= 12 and 0 < found.median_us <= found.p95_us


def test_a_second_client_is_noticed_before_and_after_a_run_and_the_next_run_works():
    made, compiled = backend(transport()), program()
    made.load(compiled)
    made.run(zeros(compiled))
    base = made.device.read("arena_base_low")
    made.device.write("arena_base_low", base + 4096)
    with pytest.raises(DeviceError, match="another client has used the board"):
        made.run(zeros(compiled))
    made.run(zeros(compiled))
    assert made.device.read("arena_base_low") == base

    def meanwhile():
        made.device.write("arena_base_low", base + 4096)
        NullBuffer.invalidate(made.transport.placement.buffers[2])

    made.transport.placement.buffers[2].invalidate = meanwhile
    with pytest.raises(DeviceError, match="another client"):
        made.run(zeros(compiled))
    del made.transport.placement.buffers[2].invalidate
    made.run(zeros(compiled))


def test_a_program_of_another_client_is_not_reset():
    made, compiled = backend(transport()), program()
    made.load(compiled)
    made.device.write("arena_base_low", 4096)
    made.transport._ip.mmio.polls = [reg.STATUS_RUNNING]
    with pytest.raises(DeviceError, match="another client's program is running"):
        made.load(program(4, 8, 8))
    assert "control" not in made.transport._ip.mmio.values
    made.load(compiled)
    made.run(zeros(compiled))


def test_only_inputs_are_flushed_and_only_outputs_invalidated():
    made = backend(transport())
    compiled = program()
    made.load(compiled)
    main, first, second = made.transport.placement.buffers
    made.run(zeros(compiled))
    assert (main.flushed, first.flushed, second.flushed) == (1, 2, 1)
    assert (main.invalidated, first.invalidated, second.invalidated) == (0, 0, 1)


def test_a_run_flushes_instructions_whose_patches_have_other_values():
    made, kept = backend(transport()), cache(CONFIG)
    made.load(kept)
    rest, x, out, state, code = made.transport.placement.buffers
    slots = [bytes(np.asarray(code)[128:192])]
    for slot in (0, 3, 3, 1):
        made.run({"x": np.zeros((1, 16), np.int8)}, {"slot": slot})
        slots.append(bytes(np.asarray(code)[128:192]))
    assert slots[0] == slots[1] and slots[2] == slots[3] and len(set(slots)) == 3
    # Slot 0 is what the first upload holds.
    assert [b.flushed for b in (rest, x, out, state, code)] == [1, 5, 1, 1, 3]
    assert [b.invalidated for b in (rest, x, out, state, code)] == [0, 0, 4, 0, 0]


def test_programs_are_known_by_their_digests_and_one_is_given_back():
    made, first, second = backend(transport()), program(), program(4, 8, 8)
    made.load(second)
    kept = made.transport.placement
    made.load(first)
    held = made.transport.placement
    made.load(Program.from_bytes(first.to_bytes()))
    assert made.transport.placement is held
    buffers = list(held.buffers)
    made.unload(Program.from_bytes(first.to_bytes()))
    assert all(b.freed for b in buffers) and not any(b.freed for b in kept.buffers)
    with pytest.raises(UsageError, match="has no program"):
        made.run(zeros(first))
    made.load(second)
    made.run(zeros(second))


def test_short_memory_takes_programs_without_states_and_no_others():
    made, memory = backend(transport()), NullMemory()
    live = []

    def allocate(shape, dtype):
        live[:] = [b for b in live if not b.freed]
        if sum(b.nbytes for b in live) + shape[0] > 80_000:
            raise RuntimeError("Failed to allocate buffer object.")
        live.append(memory(shape, dtype))
        return live[-1]

    made.transport._allocate = allocate
    kept = cache(CONFIG)
    made.load(kept)
    state = made.transport.placement
    made.load(program())
    other = list(made.transport.placement.buffers)
    made.load(program(4, 8, 8))
    assert all(b.freed for b in other) and not any(b.freed for b in state.buffers)
    with pytest.raises(MemoryExhausted, match="unload programs"):
        made.load(program(100, 200, 200))
    made.load(kept)
    assert made.transport.placement is state


@pytest.mark.parametrize("gap", [0, 1 << 20])
def test_a_relocated_program_computes_the_same(gap):
    compiled = program()
    found = sections(compiled)
    assert [s.kind for s in found] == ["input", "output"]
    size = -(-compiled.arena_bytes // 4096) * 4096
    moves = [(s, 4096 + size + gap + 65536 * i) for i, s in enumerate(found)]
    moved = relocate(compiled, moves, 4096, size + gap + 65536 * 4)
    rng = np.random.default_rng(3)
    inputs = {n: rng.integers(-128, 128, s.shape, np.int8) for n, s in compiled.inputs.items()}
    results = []
    for which in (compiled, moved):
        with EmulatorBackend(CONFIG) as emulator:
            emulator.load(which)
            results.append(emulator.run(inputs))
    for name, array in results[0].items():
        np.testing.assert_array_equal(array, results[1][name])


def test_buffers_too_far_apart_are_refused():
    with pytest.raises(Unsupported, match="4294967296"):
        relocate(program(), [], 0, 1 << 32)


def test_a_board_without_memory_gives_a_remedy_and_keeps_nothing():
    made, given, memory = transport(), [], NullMemory()

    def allocate(shape, dtype):
        if given:
            raise RuntimeError("Failed to allocate buffer object.")
        given.append(memory(shape, dtype))
        return given[0]

    made._allocate = allocate
    with pytest.raises(MemoryExhausted, match="cma="):
        made.place([4096, 1 << 30])
    assert given[0].freed and made.placement.buffers == []


def test_polling_waits_for_the_predicted_time_then_longer_and_longer():
    made = transport()
    made.expected_cycles = 100_000
    made._ip.mmio.polls = [reg.STATUS_RUNNING] * 4 + [reg.STATUS_DONE]
    start = time.monotonic()
    assert made.wait(1 << 40)
    assert made.accesses == 5 and time.monotonic() - start > 0.001


def test_a_run_that_never_ends_is_given_up():
    made = transport(timeout_s=0.05)
    made._ip.mmio.values["status"] = reg.STATUS_RUNNING
    assert not made.wait(1 << 40)


def test_an_interrupt_is_awaited_where_there_is_one():
    import asyncio

    made = transport(interrupts=True, timeout_s=0.05)

    class Irq:
        async def wait(self):
            await asyncio.sleep(self.seconds)

    made._ip.irq = Irq()
    made._ip.irq.seconds = 0
    assert made.wait(1 << 40) and made.accesses == 0
    made._ip.irq.seconds = 5
    assert not made.wait(1 << 40)


def test_a_board_that_goes_away_is_one_sentence():
    made = transport()

    def gone(offset):
        raise RuntimeError("failed to connect to all addresses\nmore")

    made._ip.mmio.read = gone
    with pytest.raises(DeviceError, match="does not answer as it should: failed to connect"):
        made.read32(0)


def test_signed_words_of_old_clients_are_read_as_unsigned():
    made = transport()
    made._ip.mmio.values["status"] = -1
    assert made.read32(reg.REGISTERS["status"].offset) == 0xFFFF_FFFF


def runtime_modules() -> list[Path]:
    """Files of the half that runs on a board: what BLOCK imports of weft and weft_hw."""
    code = BLOCK + "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('weft')))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    return sorted(Path(p) for p in done.stdout.split())


def test_the_runtime_half_is_python_310_and_names_the_type_of_sums():
    """Boards with 32-bit processors have a 32-bit default integer: a sum of it wraps there."""
    files = runtime_modules()
    assert len(files) > 40
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of_numpy = getattr(node.func.value, "id", "") == "np"
                where = f"{path.name}:{node.lineno}"
                assert not (of_numpy and node.func.attr in ("prod", "cumprod")), where
                # It takes exponents of C's int or long only, and long may have 32 bits.
                if of_numpy and node.func.attr == "ldexp":
                    assert ast.unparse(node.args[1]).endswith(".astype(np.int32)"), where
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "np":
                assert node.attr not in ("int_", "intp", "uint", "long"), f"{path.name} {node.attr}"


class Silent(Exception):
    """As an error of gRPC: the useful words are its details; its text may be empty."""

    def details(self):
        return "\n"


@pytest.mark.parametrize("error", [TimeoutError(), Silent()])
def test_a_silent_error_of_pynq_is_one_sentence_too(monkeypatch, error):
    def refuse(*_):
        raise error

    for name in ("pynq", "pynq.lib", "pynq.pl_server", "pynq.pl_server.remote_device"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["pynq"].lib = sys.modules["pynq.lib"]
    sys.modules["pynq.pl_server.remote_device"].RemoteDevice = refuse
    monkeypatch.setenv("PYNQ_REMOTE_DEVICES", "nobody")
    said = type(error).__name__
    with pytest.raises(DeviceError, match=f"no board answers at nobody, port 1: {said}; check"):
        connect("nobody", 1)
