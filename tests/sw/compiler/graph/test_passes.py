"""Each pass on the smallest network that it changes, and on one that it must leave alone."""

import numpy as np
import pytest

from weft.compiler.graph.network import Network, Operator, Value
from weft.compiler.graph.partition import partition
from weft.compiler.graph.passes.drop_repeats import drop_repeats
from weft.compiler.graph.passes.fold_addresses import fold_pads, fold_reshapes
from weft.compiler.graph.passes.fuse import fuse, table_of
from weft.compiler.graph.passes.fuse_tables import fuse_tables
from weft.compiler.graph.scale import Scale
from weft.errors import UsageError

S, T = Scale(0.1, 3), Scale(0.25, -7)
CONV = {"stride": [1, 1], "padding": [0] * 4, "dilation": [1, 1], "groups": 1}


class Chain:
    """Makes networks of one chain of operators."""

    def __init__(self, *shape, scale=S):
        self.values, self.operators, self.shape = [Value("x", shape)], [], shape
        self.last = "x"
        self.q(scale)

    def add(self, op, size=None, scale=None, inputs=None, constants=None, **attributes):
        name = f"{op}{len(self.operators)}"
        self.shape = size or self.shape
        self.values.append(Value(name, self.shape, scale))
        inputs = inputs or (self.last,)
        self.operators.append(Operator(name, op, inputs, name, attributes, constants or {}))
        self.last = name
        return self

    def q(self, scale=S):
        return self.add("quantise", scale=scale)

    def dq(self):
        return self.add("dequantise")

    def conv(self, n, c, k=1, size=None, **more):
        _, _, high, wide = self.shape
        q = np.ones((n, c, k, k), np.int8)
        constants = {"weights": q.astype(np.float32), "integers": q, "steps": np.ones(n)}
        shape = (1, n, *(size or (high, wide)))
        return self.add("conv2d", shape, constants=constants, **{**CONV, **more})

    def build(self, *outputs):
        return Network(self.values, tuple(self.operators), ("x",), outputs or (self.last,)).verify()


def ops(network):
    return [op.op for op in network.operators]


def test_drop_repeats():
    assert ops(drop_repeats(Chain(1, 2, 3, 3).dq().q(S).dq().build())) == ["quantise", "dequantise"]
    other = Chain(1, 2, 3, 3).dq().q(T).dq().build()
    assert ops(drop_repeats(other)) == ops(other)


@pytest.mark.parametrize("between", [True, False])
def test_fold_pads(between):
    chain = Chain(1, 2, 4, 4).dq().add("pad", (1, 2, 7, 7), widths=[1, 2, 3, 0], value=0.0)
    if between:
        chain.q(S).dq()
    chain.conv(3, 2, 3, (5, 5), padding=[1, 0, 0, 0])
    (conv,) = [op for op in fold_pads(chain.build()).operators if op.op == "conv2d"]
    assert conv.attributes["padding"] == [4, 0, 1, 2] and conv.inputs == ("dequantise1",)


@pytest.mark.parametrize(
    "change", [{"value": 1.0}, {"widths": [-1, 0, 0, 0]}, {"widths": [1, 1, 1, 1, 1, 1]}]
)
def test_pads_that_are_no_border(change):
    given = {"widths": [1, 1, 1, 1], "value": 0.0, **change}
    chain = Chain(1, 2, 4, 4).dq().add("pad", (1, 2, 6, 6), **given).q(S).dq().conv(3, 2)
    assert "pad" in ops(fold_pads(chain.build()))


def test_a_pad_in_another_scale_is_no_border():
    chain = Chain(1, 2, 4, 4).dq().add("pad", (1, 2, 6, 6), widths=[1] * 4, value=0.0)
    assert "pad" in ops(fold_pads(chain.q(T).dq().conv(3, 2).build()))


def linear(chain, k):
    q = np.arange(5 * k).reshape(5, k).astype(np.int8)
    constants = {"weights": q.astype(np.float32), "integers": q, "steps": np.ones(5)}
    return chain.add("linear", (1, 5), constants=constants)


def test_fold_reshapes():
    """A flattened map before a linear layer is its kernel, in the order of torch."""
    chain = Chain(1, 2, 3, 4).dq().add("reshape", (1, 24), shape=[1, 24]).q(S).dq()
    network = fold_reshapes(linear(chain, 24).build())
    assert ops(network) == ["quantise", "dequantise", "conv2d"]
    conv = network.operators[-1]
    assert conv.constants["integers"].shape == (5, 2, 3, 4)
    assert conv.constants["integers"].reshape(5, 24).tolist() == (
        np.arange(120).reshape(5, 24).astype(np.int8).tolist()
    )


def test_reshapes_of_a_pixel_are_nothing():
    chain = Chain(1, 6, 1, 1).dq().add("reshape", (1, 6), shape=[1, 6]).q(S).dq()
    assert ops(fold_reshapes(chain.add("tanh").build())) == ["quantise", "dequantise", "tanh"]
    chain = Chain(1, 6, 2, 1).dq().add("reshape", (1, 12), shape=[1, 12]).q(S).dq()
    assert "reshape" in ops(fold_reshapes(chain.add("tanh").build()))


def test_fuse_a_chain():
    chain = Chain(1, 2, 4, 4).dq().conv(3, 2).add("clamp", low=0.0, high=6.0).q(T)
    network, reasons = fuse(chain.build())
    assert ops(network) == ["quantise", "conv2d"] and not reasons
    conv = network.operators[1]
    assert conv.on_chip and (conv.attributes["low"], conv.attributes["high"]) == (-7, 17)
    assert conv.attributes["fused"] == ["clamp3"]


def test_clamps_in_a_row_and_alone():
    chain = Chain(1, 2, 4, 4).dq().add("clamp", low=-1.0, high=9.0)
    network, _ = fuse(chain.add("clamp", low=0.0, high=None).q(T).build())
    (op,) = [op for op in network.operators if op.on_chip]
    assert (op.op, op.attributes["low"], op.attributes["high"]) == ("rescale", -7, 29)


def test_fuse_a_residual():
    chain = Chain(1, 2, 4, 4).dq()
    chain.conv(2, 2)
    chain.add("add", inputs=("dequantise1", "conv2d2")).q(T)
    network, _ = fuse(chain.build())
    conv = network.operators[-1]
    assert conv.op == "conv2d" and conv.inputs == ("quantise0", "quantise0")
    assert conv.attributes["fused"] == ["add3"]


def test_what_is_refused_stays():
    chain = Chain(1, 2, 4, 4).dq().conv(3, 2).q(T)
    network, reasons = fuse(chain.build(), {"conv2d2": "too large"})
    assert "conv2d" in ops(network) and not any(op.on_chip for op in network.operators)
    assert reasons == {"conv2d2": "too large"}


def test_what_others_read_is_not_fused():
    """A convolution whose reals leave the network stays on the host."""
    chain = Chain(1, 2, 4, 4).dq().conv(3, 2).q(T)
    network, _ = fuse(chain.build("conv2d2", "quantise3"))
    assert not any(op.on_chip for op in network.operators)


def test_weights_of_minus_128():
    chain = Chain(1, 2, 4, 4).dq().conv(3, 2).q(T)
    chain.operators[2].constants["integers"][0, 0] = -128
    _, reasons = fuse(chain.build())
    assert "a weight of -128" in reasons["conv2d2"]


def test_tables():
    network, _ = fuse(Chain(1, 2, 4, 4).dq().conv(3, 2).q(S).dq().add("tanh").q(T).build())
    assert ops(network) == ["quantise", "conv2d", "table"]
    joined = fuse_tables(network)
    assert ops(joined) == ["quantise", "conv2d"]
    conv = joined.operators[1]
    assert conv.attributes["before_table"] == [S.step, S.zero_point]
    table = conv.constants["table"]
    for q in (-128, -1, 0, 5, 127):
        want = np.clip(np.floor(np.tanh(0.1 * (q - 3)) / 0.25 + 0.5) - 7, -128, 127)
        assert table[q & 255] == want


def test_a_table_of_what_others_read_stands_alone():
    chain = Chain(1, 2, 4, 4).dq().conv(3, 2).q(S).dq().add("tanh").q(T)
    network, _ = fuse(chain.build("quantise3", "quantise6"))
    assert ops(fuse_tables(network)) == ["quantise", "conv2d", "table"]


def test_a_table_is_clamped_to_its_scale():
    op = Operator("t", "elu", (), "", {"alpha": 1.0})
    found = table_of(op, Scale(1.0, 0), Scale(1.0, 0, -5, 9))
    assert found.min() == -1 and found.max() == 9


def test_partition():
    """One program for what the host does not come between, and one for what is behind it."""
    chain = Chain(1, 2, 4, 4).dq().conv(3, 2).q(S).dq().add("softmax", axis=1).q(S).dq()
    network, _ = fuse(chain.conv(2, 3).q(T).dq().build())
    found = partition(network)
    assert [s.on_chip for s in found] == [False, True, False, True, False]
    assert [s.outputs for s in found] == [
        ("quantise0",), ("quantise3",), ("quantise6",), ("quantise9",), ("dequantise10",)
    ]  # fmt: skip
    assert found[1].inputs == ("quantise0",) and found[3].inputs == ("quantise6",)


@pytest.mark.parametrize(
    ("operators", "outputs", "words"),
    [
        ([Operator("a", "tanh", ("y",), "y")], ("y",), "reads 'y' before it is computed"),
        ([Operator("a", "tanh", ("x",), "x")], ("x",), "which is no new value"),
        ([Operator("a", "tanh", ("x",), "y"), Operator("a", "tanh", ("y",), "z")], ("z",),
         "two operators are named 'a'"),
        ([Operator("a", "tanh", ("x",), "y", on_chip=True)], ("y",), "a value that is not int8"),
        ([], ("y",), "output 'y' is not computed"),
    ],
)  # fmt: skip
def test_verify(operators, outputs, words):
    values = [Value(name, (1, 2)) for name in "xyz"]
    with pytest.raises(UsageError, match=words):
        Network(values, tuple(operators), ("x",), outputs).verify()


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 3, 4, 5), (4,)])
def test_values_without_a_map(shape):
    with pytest.raises(UsageError, match="is no map"):
        assert Value("x", shape).map
