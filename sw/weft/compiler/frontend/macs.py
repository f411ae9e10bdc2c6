"""Multiplications of a forward pass, by operator: what coverage is a share of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

__all__ = ["counted_macs"]


def _vector(a: Any, *_: Any, **__: Any) -> int:
    """Of a matrix or vector with a vector."""
    return int(2 * prod(a))


def _added_vector(_: Any, a: Any, *__: Any, **___: Any) -> int:
    return int(2 * prod(a))


def _grouped(a: Any, b: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Of rows with the matrix of the group that each belongs to, as mixtures of experts do."""
    groups = out_shape[0] if len(a) == len(b) == 2 else 1
    return int(2 * prod(out_shape) * a[-1] // groups)


@contextmanager
def counted_macs() -> Iterator[Mapping[str, int]]:
    """Count the multiply-accumulates of what runs inside, by torch's formulas of each operator.

    Fused recurrent layers, attention and encoder layers, for which torch has no formula, are taken
    apart into their products while it runs; formulas that torch lacks are added.

    Yields
    ------
    name of the operator in ATen -> MACs; filled when the block is left.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    aten = torch.ops.aten
    added = {aten.mv: _vector, aten.dot: _vector, aten.addmv: _added_vector}
    if hasattr(aten, "_grouped_mm"):
        added[aten._grouped_mm] = _grouped
    found: Counter[str] = Counter()
    with ExitStack() as undo:
        undo.callback(torch._C._set_mkldnn_enabled, torch._C._get_mkldnn_enabled())
        torch._C._set_mkldnn_enabled(False)
        fast = torch.backends.mha.get_fastpath_enabled()
        undo.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        undo.enter_context(sdpa_kernel([SDPBackend.MATH]))
        counter = undo.enter_context(FlopCounterMode(display=False, custom_mapping=added))
        yield found
    for operator, flops in counter.get_flop_counts().get("Global", {}).items():
        found[str(operator).removeprefix("aten.")] += int(flops) // 2
