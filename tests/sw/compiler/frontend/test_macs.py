"""Multiplications are counted wherever torch would do them, fused or not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from weft.compiler.frontend.macs import counted_macs  # noqa: E402

nn = torch.nn
X = torch.randn(2, 5, 16)
V = torch.randn(16)


def heads():
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True).eval()
    return lambda: layer(X)


CASES = {
    "linear": (lambda: nn.functional.linear(X, torch.ones(3, 16)), 10 * 16 * 3),
    "linear of a vector": (lambda: nn.functional.linear(V, torch.ones(3, 16)), 16 * 3),
    "linear of a vector, bias": (
        lambda: nn.functional.linear(V, torch.ones(3, 16), torch.ones(3)), 16 * 3),
    "vector": (lambda: torch.ones(4, 16) @ V, 4 * 16),
    "dot": (lambda: V @ V, 16),
    "einsum": (lambda: torch.einsum("bij,kj->bik", X, torch.ones(3, 16)), 10 * 16 * 3),
    "convolution": (lambda: nn.functional.conv1d(X, torch.ones(3, 5, 2)), 2 * 15 * 3 * 5 * 2),
    "attention": (
        lambda: nn.functional.scaled_dot_product_attention(X, X, X), 2 * 2 * 5 * 5 * 16),
    "lstm": (lambda: nn.LSTM(16, 8)(X), 10 * 4 * 8 * (16 + 8)),
    "encoder": (heads(), 10 * 16 * (4 * 16 + 2 * 24) + 2 * 2 * 5 * 5 * 16),
    "experts": (
        lambda: torch._grouped_mm(
            torch.ones(16, 16, dtype=torch.bfloat16), torch.ones(2, 16, 8, dtype=torch.bfloat16),
            offs=torch.tensor([8, 16], dtype=torch.int32)),
        16 * 16 * 8),
    "nothing": (lambda: torch.relu(X), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_counts(case):
    run, want = CASES[case]
    fast = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    with torch.no_grad(), counted_macs() as macs:
        run()
    assert sum(macs.values()) == want
    assert (torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()) == fast
