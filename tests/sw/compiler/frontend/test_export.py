"""What torch gives is read, each spelling of an operator as the same; what cannot be is refused."""

import io
import json
import zipfile

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from small_networks import inputs, net
from weft.compiler.frontend.export import export_model, load_exported
from weft.compiler.frontend.read import read_network
from weft.errors import Unsupported, UsageError


class Call(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


def operators(call, x):
    exported = export_model(Call(call).eval(), x)
    return [(op.op, dict(op.attributes)) for op in read_network(exported.module()).operators]


SPELLINGS = {
    "relu": ([F.relu, torch.relu, lambda x: x.clone().relu_(), nn.ReLU(),
              lambda x: F.hardtanh(x, 0.0, float("inf")), lambda x: x.clamp(min=0)], "clamp"),
    "relu6": ([F.relu6, nn.ReLU6(), lambda x: F.hardtanh(x, 0.0, 6.0), nn.ReLU6(inplace=True),
               lambda x: torch.clamp(x, 0, 6), lambda x: x.clone().clamp_(0, 6)], "clamp"),
    "flatten": ([lambda x: x.flatten(1), lambda x: x.view(1, -1), lambda x: x.reshape(1, -1),
                 nn.Flatten()], "reshape"),
    "silu": ([F.silu, nn.SiLU(inplace=True)], "silu"),
    "add": ([lambda x: x + x, lambda x: x.add(x), lambda x: x.clone().add_(x)], "add"),
    "average": ([lambda x: F.adaptive_avg_pool2d(x, 2), nn.AvgPool2d(3),
                 nn.AvgPool2d((3, 3), (3, 3))], "avg_pool2d"),
    "permute": ([lambda x: x.transpose(1, 3), lambda x: x.permute(0, 3, 2, 1)], "permute"),
    "pad": ([lambda x: F.pad(x, [1, 1, 2, 0]), nn.ZeroPad2d((1, 1, 2, 0)),
             lambda x: torch.constant_pad_nd(x, [1, 1, 2, 0], 0.0)], "pad"),
    "concat": ([lambda x: torch.cat([x, x], 1), lambda x: torch.concat([x, x], -3),
                lambda x: torch.concatenate([x, x], 1)], "concat"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPELLINGS)
def test_spellings(case):
    calls, name = SPELLINGS[case]
    found = [operators(call, inputs(4, 6, 6)) for call in calls]
    for one in found:
        assert len(one) == 1 and one[0][0] == name
        given = dict(one[0][1])
        if given.get("high") == float("inf"):
            given["high"] = None
        assert given == dict(found[0][0][1])


def test_what_computes_nothing_is_nothing():
    call = Call(lambda x: F.dropout(x.contiguous(), 0.5, False).detach().clone()).eval()
    network = read_network(export_model(call, inputs(4)).module())
    assert not network.operators and network.outputs == network.inputs


def test_the_first_of_a_batch_is_the_example():
    exported = export_model(net(nn.Linear(4, 2)), inputs(4, count=5))
    (network,) = [read_network(exported.module())]
    assert network.values[network.inputs[0]].shape == (1, 4)
    assert export_model(exported, ()) is exported


def test_layers_have_the_names_of_the_model():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())

        def forward(self, x):
            return torch.tanh(self.stem(x)) + self.stem(x)

    network = read_network(export_model(Model().eval(), inputs(3, 2, 2)).module())
    names = [op.name for op in network.operators]
    assert names == ["stem.0", "stem.1", "tanh", "stem.0.2", "stem.1.2", "add"]


@pytest.mark.parametrize(
    ("count", "dynamic", "words"),
    [
        (4, {0: torch.export.Dim("batch", min=2, max=9)}, "input x .* a dynamic shape"),
        (1, {2: torch.export.Dim("high", min=4, max=99)}, "input x .* a dynamic shape"),
        (4, None, r"must take one example at a time, and its input x is \[4, 3, 8, 8\]"),
    ],
)
def test_programs_of_other_shapes_are_refused(count, dynamic, words):
    model = Call(nn.Conv2d(3, 8, 3)).eval()
    x = inputs(3, 8, 8, count=count)
    program = torch.export.export(model, (x,), dynamic_shapes=dynamic and (dynamic,))
    with pytest.raises(Unsupported, match=words):
        export_model(program, [x])


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive():
    buffer = io.BytesIO()
    torch.export.save(export_model(net(nn.Linear(4, 2)), inputs(4)), buffer)
    return buffer.getvalue()


def rewritten(archive, change):
    """The archive with members changed: name -> bytes, or None for what is left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        change(members)
        for name, data in members.items():
            new.writestr(name, data)
    return out.getvalue()


class Evil:
    def __reduce__(self):
        return (open, ("evil-was-here", "w"))


def evil_tensor():
    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    return buffer.getvalue()


def sample_inputs(members):
    name = next(n for n in members if n.endswith(".pt"))
    members[name] = evil_tensor()


def pickled_weight(members):
    name = next(n for n in members if n.endswith("weights_config.json"))
    config = json.loads(members[name])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    members[next(n for n in members if n.endswith(f"weights/{entry['path_name']}"))] = evil_tensor()
    members[name] = json.dumps(config).encode()


def more(name):
    def change(members):
        root = next(iter(members)).split("/")[0]
        members[f"{root}/data/{name}"] = b"x"

    return change


@pytest.mark.parametrize(
    "change",
    [sample_inputs, pickled_weight, more("constants/custom_obj_0"), more("constants/opaque_obj_0"),
     more("aotinductor/model/x.so")],
)  # fmt: skip
def test_a_file_that_can_run_code_is_refused(archive, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pt2").write_bytes(rewritten(archive, change))
    with pytest.raises(UsageError, match="can run code when it is read"):
        load_exported(tmp_path / "m.pt2")
    assert not (tmp_path / "evil-was-here").exists()


def test_files(archive, tmp_path):
    path = tmp_path / "m.pt2"
    path.write_bytes(archive)
    network = read_network(load_exported(path).module())
    assert [op.op for op in network.operators] == ["linear"]
    path.write_bytes(archive[: len(archive) // 2])
    with pytest.raises(UsageError, match="is no file of torch.export"):
        load_exported(path)
    with pytest.raises(UsageError, match="cannot read"):
        load_exported(tmp_path / "none.pt2")
