"""Random torch networks: equal on all backends, near float, each operator where the list says."""

import os

import pytest
import torch

from random_networks import RandomNetwork
from weft.host.run import needs_torch
from weft.runtime.compile import compile_model

#: Networks on emulator and torch-int; every sixth on the RTL, too.
COUNT = int(os.environ.get("WEFT_RANDOM_NETWORKS", "24"))
#: What the accelerator never takes, whatever surrounds it.
HOST = {"concat", "reshape", "pad", "permute"}


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_network(seed):
    model = RandomNetwork(seed)
    x = torch.randn((3, *model.shape[1:]), generator=torch.Generator().manual_seed(seed))
    compiled = compile_model(model, x, platform="tiny" if seed % 3 == 2 else "pynq-z2")
    with compiled.open("emulator") as emulator, compiled.open("torch-int") as reference:
        got, want = emulator(x), reference(x)
    assert torch.equal(got, want), f"seed {seed}"
    if seed % 6 == 0:
        with compiled.open("rtl") as rtl:
            assert torch.equal(rtl(x[:1]), got[:1]), f"seed {seed}"
    real = model(x)
    noise, signal = ((real - got) ** 2).sum(), (real**2).sum()
    assert noise <= 0.03 * signal + 1e-6, f"seed {seed}: {float(noise / signal):.3g}"
    for report in compiled.explain():
        if report.where == "host":
            known = report.op in HOST | {"quantise", "dequantise"}
            assert known, f"seed {seed}: {report.name} ({report.op}) on the host: {report.why}"
            if report.op == "concat":
                assert "needs a multiple of 16" in report.why, f"seed {seed}: {report.why}"
            assert not needs_torch(report.op)
