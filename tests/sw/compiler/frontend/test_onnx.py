"""ONNX files: ONNX's own cases of every operator that is read, and a network of many."""

import re
import warnings

import numpy as np
import pytest
import torch

from weft.compiler.frontend.onnx import OPSETS, OnnxModule, load_onnx
from weft.compiler.frontend.onnx_operators import OPERATORS
from weft.errors import Unsupported, UsageError
from weft.models.find import find_model
from weft.runtime.compile import compile_model

onnx = pytest.importorskip("onnx")
helper = onnx.helper
TensorProto = onnx.TensorProto
#: Cases of operators that are read, with what is not -> what is said.
REFUSED = {
    "averagepool_1d|averagepool_3d|maxpool_1d|maxpool_3d": "a pool of [13] dimensions",
    "averagepool_2d_(same_upper|same_lower|pads)$": "an uneven border that does not count",
    "averagepool_2d_dilations": "an average with dilation",
    "constant_pad_(negative_)?axes": "a pad that is not of all axes",
}


def _cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX makes the cases of all operators, some with NaN
        import onnx.backend.test.loader as loader

        found = {}
        for case in loader.load_model_tests(kind="node"):
            nodes = case.model.graph.node
            if len(nodes) != 1 or nodes[0].op_type not in OPERATORS or len(nodes[0].output) > 1:
                continue
            if case.model.opset_import[0].version not in range(OPSETS[0], 99):
                continue
            arrays = [np.asarray(a) for data in case.data_sets for part in data for a in part]
            if all(a.dtype in (np.float32, np.int64) for a in arrays):
                found[case.name] = case
        return found


CASES = _cases()


@pytest.mark.parametrize("name", CASES)
def test_cases(name):
    """Every input that is no float is known, as a shape or an axis in a file is."""
    case = CASES[name]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.opset_import[0].version = min(model.opset_import[0].version, OPSETS[-1])
    inputs, wanted = case.data_sets[0]
    given = []
    for value, array in zip(list(model.graph.input), map(np.asarray, inputs)):
        # The second input of a product and of a convolution are weights in a file.
        if array.dtype != np.float32 or value.name in ("W", "w", "b", "min", "max", "value"):
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        else:
            given.append(torch.from_numpy(np.array(array)))
    refusal = [words for names, words in REFUSED.items() if re.match(f"test_({names})", name)]
    if refusal:
        with pytest.raises(Unsupported, match=refusal[0]):
            OnnxModule(model)(*given)
        return
    got = OnnxModule(model)(*given)
    # Some cases hold four digits.
    np.testing.assert_allclose(got.numpy(), wanted[0], rtol=1e-4, atol=1e-4)


def test_most_cases_are_read():
    tested = {case.model.graph.node[0].op_type for case in CASES.values()}
    # Linear is Weft's own name; HardSwish, Gelu and Dropout are functions, or have masks.
    assert {*OPERATORS} - tested <= {"Linear", "HardSwish", "Dropout", "Gelu"}
    assert len(CASES) > 150


def model_of(nodes, values, shape=("N", 3, 9, 8), out=None, opset=17):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out or shape)],
        [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def network(opset=17):
    rng = np.random.default_rng(1)

    def values(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], name="stem", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("BatchNormalization", ["a", "s", "o", "m", "v"], ["b"], name="norm"),
        node("Clip", ["b", "low", "high"], ["c"], name="relu6"),
        node("Conv", ["c", "w2"], ["d"], name="deep", group=8, pads=[1, 1, 1, 1]),
        node("Add", ["d", "c"], ["e"], name="sum"),
        node("Relu", ["e"], ["f"], name="relu"),
        node("GlobalAveragePool", ["f"], ["g"], name="pool"),
        node("Flatten", ["g"], ["h"], name="flat"),
        node("MatMul", ["h", "w3"], ["i"], name="fc"),
        node("Add", ["i", "b3"], ["j"], name="bias"),
        node("Softmax", ["j"], ["y"], name="answer"),
    ]
    return model_of(
        nodes,
        {
            "w1": values(8, 3, 3, 3), "b1": values(8), "s": 1 + values(8), "o": values(8),
            "m": values(8), "v": 1 + np.abs(values(8)), "low": np.float32(0),
            "high": np.float32(6), "w2": values(8, 1, 3, 3), "w3": values(8, 5), "b3": values(5),
        },
        out=("N", 5),
        opset=opset,
    )  # fmt: skip


#: The reference takes the statistics of the batch for batch norm before opset 14.
@pytest.mark.parametrize("opset", [14, 17, 21])
def test_a_network(tmp_path, opset):
    """As ONNX's reference computes it; all of it on the accelerator but the softmax."""
    model = network(opset)
    onnx.save(model, tmp_path / "n.onnx")
    found = find_model(str(tmp_path / "n.onnx"))
    x = found.inputs[0]
    want = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x.numpy()})[0]
    np.testing.assert_allclose(found.model(x).numpy(), want, atol=1e-5)
    compiled = compile_model(found.model, x)
    with compiled.open("emulator") as emulator, compiled.open("torch-int") as reference:
        got = emulator(x)
        assert torch.equal(got, reference(x))
    assert np.abs(got.numpy() - want).max() < 0.03
    where = {r.name: r.where for r in compiled.explain() if "quantise" not in r.op}
    assert where == {
        "stem": "accelerator", "deep": "accelerator", "pool": "accelerator", "fc": "accelerator",
        "answer": "host",
    }  # fmt: skip


def test_a_constant_node_is_known(tmp_path):
    shape = onnx.numpy_helper.from_array(np.array([0, -1]), "s")
    nodes = [
        helper.make_node("Constant", [], ["s"], value=shape),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
    ]
    assert OnnxModule(model_of(nodes, {}))(torch.zeros(1, 3, 9, 8)).shape == (1, 216)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (model_of([helper.make_node("Relu", ["x"], ["y"])], {}, opset=9), Unsupported,
         "has opset .9., 13 to "),
        (model_of([helper.make_node("Einsum", ["x"], ["y"], equation="nchw->nc", name="e")], {},
                  out=("N", 3)),
         Unsupported, "ONNX node e: there is no operator Einsum"),
        (model_of([helper.make_node("Relu", ["x"], ["y"])], {}, shape=("N", 3, "H", 8)),
         Unsupported, "has sizes that are not known"),
        (b"nonsense", UsageError, "is no ONNX model"),
        (b"", UsageError, "is no ONNX model"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, model, error, words):
    path = tmp_path / "n.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(error, match=words):
        load_onnx(path).shapes()


def test_weights_in_other_files_are_refused(tmp_path):
    model = network()
    onnx.save(model, tmp_path / "n.onnx", save_as_external_data=True, size_threshold=1)
    with pytest.raises(UsageError, match="keeps weights in other files; save it as one file"):
        load_onnx(tmp_path / "n.onnx")
    with pytest.raises(UsageError, match="cannot read"):
        load_onnx(tmp_path / "none.onnx")
