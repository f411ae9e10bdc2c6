"""The recipes of docs/architecture.md, followed: where a new operator, board, backend, model goes.

That of a new unit is followed in tests/test_units.py.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from weft.backend.emulator import EmulatorBackend
from weft.backend.opening import BACKENDS, Entry, open_backend
from weft.bundle import Overlay
from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.ops import OPS, Op
from weft.compiler.graph.reference import ARITHMETIC, TorchInt
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.tensor import Tensor
from weft.compiler.lower.program import compile_graph
from weft.dram import MemoryModel, memory_of
from weft.errors import UsageError
from weft.verify import verify
from weft_hw.boards import BOARDS, Dram
from weft_hw.config import preset
from weft_hw.platform import Platform, platform

TINY = preset("tiny")


# -- a new operator -----------------------------------------------------------------------------


def _negate_rules(node, operands, output):
    (x,) = operands
    if (x.dtype, x.shape) != (output.dtype, output.shape) or node.requant is not None:
        raise UsageError(f"the output must be as the operand {x}, not {output}")


def _negate(torch_int, node, operands):
    return (-operands[0]).clamp(max=127)


def _legalise(graph: Graph) -> Graph:
    """The pass: a negation is a product with -1 on the diagonal."""
    tensors, nodes = dict(graph.tensors), []
    for node in graph.nodes:
        if node.op == "negate":
            n = int(graph.tensors[node.output].shape[1])
            weights, bias = f"{node.name}.weights", f"{node.name}.bias"
            tensors[weights] = Tensor.constant(weights, -np.eye(n, dtype=np.int8))
            tensors[bias] = Tensor.constant(bias, np.zeros(n, np.int32))
            one = Requant(np.full(n, 2), np.full(n, 1))
            node = Node(node.name, "linear", (*node.inputs, weights, bias), node.output, one)
        nodes.append(node)
    return dataclasses.replace(graph, tensors=tensors, nodes=tuple(nodes)).verify()


def test_an_operator() -> None:
    pytest.importorskip("torch")
    ops = {**OPS, "negate": Op(("operand",), _negate_rules)}  # graph/ops.py
    arithmetic = {**ARITHMETIC, "negate": _negate}  # graph/reference.py
    graph = Graph(
        [Tensor("x", "int8", (5, 20)), Tensor("y", "int8", (5, 20))],
        (Node("minus", "negate", ("x",), "y"),), ("x",), ("y",),
    )
    with pytest.raises(UsageError, match="node 'minus': there is no operation 'negate'"):
        graph.verify()
    graph.verify(ops)
    wrong = dataclasses.replace(
        graph, tensors=[graph.tensors["x"], Tensor("y", "int8", (5, 21))]
    )
    with pytest.raises(UsageError, match="node 'minus': the output must be as the operand x: "):
        wrong.verify(ops)

    x = np.random.default_rng(0).integers(-128, 128, (5, 20), dtype=np.int8)
    want = TorchInt(arithmetic=arithmetic).run(graph, {"x": x})[0]["y"]
    program = compile_graph(_legalise(graph), TINY)  # graph/passes, schedule
    verify(program)
    with EmulatorBackend(TINY) as emulator:
        emulator.load(program)
        np.testing.assert_array_equal(emulator.run({"x": x})["y"], want)
    assert (want == np.where(x == -128, 127, -x.astype(int))).all()


# -- a new board --------------------------------------------------------------------------------


def test_a_board(monkeypatch) -> None:
    """One entry: memory model, platform, fit and overlay follow."""
    dram = Dram(peak_gb_s=4.2, efficiency=0.8, read_latency_ns=300, write_latency_ns=150,
                bytes=1 << 30, source="16-bit DDR3-2100, for a test")
    board = dataclasses.replace(BOARDS["pynq-z2"], name="loom", dram=dram)
    monkeypatch.setitem(BOARDS, "loom", board)
    found = platform(TINY.replace(board="loom"), clock_mhz=125)
    assert found.board is board and found.clock.mhz == 125
    memory = MemoryModel.of(found)
    assert memory.peak_bytes_per_cycle == 33.6 and memory.read_latency == 38
    assert memory_of(TINY, "loom", 125) == memory
    overlay = Overlay(preset("pynq-z2"), board, 100)
    assert overlay.name.startswith("weft_loom_") and overlay.ports == ("S_AXI_HP0", "S_AXI_HP2")


# -- a new backend ------------------------------------------------------------------------------


class Counting(EmulatorBackend):
    """The emulator, and how often it ran."""

    name = "counting"

    def __init__(self, config):
        super().__init__(config)
        self.runs = 0

    def run(self, inputs, patches=None):
        self.runs += 1
        return super().run(inputs, patches)


def test_a_backend(monkeypatch) -> None:
    """One class and one entry: what opens backends by name, models included, can take it."""
    torch = pytest.importorskip("torch")
    from weft.compiler.quantise.model import quantise
    from weft.runtime.accelerate import swap

    entry = Entry(lambda config, **_: Counting(config), "simulator")
    monkeypatch.setattr("weft.backend.opening.BACKENDS", {**BACKENDS, "counting": entry})
    torch.manual_seed(0)
    model, x = torch.nn.Sequential(torch.nn.Linear(12, 9)), torch.randn(6, 12)
    quantised = quantise(model, [x])
    with open_backend("torch-int", TINY) as reference, swap(model, quantised, reference) as run:
        want = run(x)
    for target in (TINY, Platform(TINY, BOARDS["pynq-z2"], 100)):
        device = open_backend("counting", target)
        with swap(model, quantised, device) as run:
            assert torch.equal(run(x), want)
        assert device.runs == 2, "once to check what is claimed, once for x"


# -- a new model --------------------------------------------------------------------------------


def test_a_model() -> None:
    """Any torch module: nothing to write. What a built-in model adds is files and texts."""
    torch = pytest.importorskip("torch")
    import weft

    class Gate(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.value, self.gate = torch.nn.Linear(16, 24), torch.nn.Linear(16, 24)

        def forward(self, x):
            return self.value(x) * torch.sigmoid(self.gate(x))

    torch.manual_seed(0)
    model, x = Gate().eval(), torch.randn(32, 16)
    with torch.no_grad():
        want = model(x)
    quantised = weft.quantise(model, [x])
    assert quantised.groups == (("value", "gate"),), "both read x, which is quantised once"
    with weft.accelerate(model, calibration=[x], preset="tiny") as fast:
        got = fast(x)
        assert {run.layer for run in fast.session.runs} == {"value", "gate"}
    assert ((got - want).norm() / want.norm()).item() < 0.02
