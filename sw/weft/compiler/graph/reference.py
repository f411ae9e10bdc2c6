"""The independent reference: integer matrix products and requantisation written again in torch.

The arithmetic is written from its documented definition. Constants come from ``weft_hw.numerics``,
functions never do, so that an error there cannot hide here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import ToolMissing, UsageError
from weft.tools import require
from weft_hw.numerics import PRE_MAX, SAT_BITS, SHIFT_MAX, SHIFT_MIN, TABLE_SIZE

if TYPE_CHECKING:
    import torch

__all__ = ["TorchInt"]

#: Largest reduction whose int8 products have a float64 sum that is exact: 2**53 / 2**14.
_FLOAT64_TERMS = 1 << 39


class TorchInt:
    """Integer layers on torch.

    Parameters
    ----------
    device : str
        A torch device. Products run in int32 on a CPU and in float64, exactly, on CUDA.

    Raises
    ------
    ToolMissing
        torch is not installed, or has no such device.
    """

    def __init__(self, device: str = "cpu") -> None:
        require("torch", what="the torch-int reference")
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ToolMissing("torch has no CUDA device here", "use device='cpu'")
        self._torch = torch
        self.device = device

    def gemm(
        self,
        activations: NDArray[np.int8],
        weights: NDArray[np.int8],
        bias: NDArray[np.int32],
        *,
        result: str = "int32",
        multiplier: NDArray[np.integer[Any]] | None = None,
        shift: NDArray[np.integer[Any]] | None = None,
        pre: int = 0,
        zero_point: int = 0,
        low: int = -128,
        high: int = 127,
        table: NDArray[np.int8] | None = None,
    ) -> NDArray[np.integer[Any]]:
        """``result_of(bias + activations @ weights)``.

        Parameters
        ----------
        activations : int8 [M, K]
        weights : int8 [K, N]
        bias : int32 [N]
        result : "int8", "int16" or "int32"; int32 is the accumulator itself.
        multiplier, shift : int [N]; needed unless the result is int32.
        pre : int, right shift before the saturation to 25 bits.
        zero_point, low, high : int, added after the scaling; bounds of the result.
        table : int8 [256], optional, for int8 results: entry i replaces the value of byte i.

        Returns
        -------
        array [M, N] of the dtype that `result` names.

        Raises
        ------
        UsageError
            Shapes disagree or a constant is outside its range.
        """
        m, k = activations.shape
        if weights.shape[0] != k or bias.shape != (weights.shape[1],):
            raise UsageError(
                f"activations [{m}, {k}] need weights [{k}, N] and bias [N], not "
                f"{list(weights.shape)} and {list(bias.shape)}"
            )
        acc = self._accumulate(activations, weights, bias)
        if result == "int32":
            return np.asarray(acc.to(self._torch.int32).cpu().numpy())
        if result not in ("int8", "int16"):
            raise UsageError(f"result must be int8, int16 or int32, not {result!r}")
        if multiplier is None or shift is None:
            raise UsageError(f"an {result} result needs a multiplier and a shift per channel")
        if not (0 <= pre <= PRE_MAX and np.all((shift >= SHIFT_MIN) & (shift <= SHIFT_MAX))):
            raise UsageError(
                f"pre must be in 0..{PRE_MAX} and shift in {SHIFT_MIN}..{SHIFT_MAX}, "
                f"not {pre} and {np.min(shift)}..{np.max(shift)}"
            )
        y = self._requantise(acc, multiplier, shift, pre, zero_point, low, high)
        if table is not None:
            if result != "int8" or table.shape != (TABLE_SIZE,):
                raise UsageError(f"a table has {TABLE_SIZE} entries and needs an int8 result")
            y = self._tensor(table)[self._torch.remainder(y, TABLE_SIZE)]
        kind = self._torch.int8 if result == "int8" else self._torch.int16
        return np.asarray(y.to(kind).cpu().numpy())

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        """`array` as int64 on the device."""
        return self._torch.from_numpy(np.array(array, np.int64)).to(self.device)

    def _accumulate(
        self, a: NDArray[np.int8], w: NDArray[np.int8], bias: NDArray[np.int32]
    ) -> torch.Tensor:
        """Accumulators in int64, reduced to what 32 bits hold."""
        torch = self._torch
        x, y = (torch.from_numpy(np.array(v, np.int8)).to(self.device) for v in (a, w))
        if x.device.type == "cpu":
            total = torch.matmul(x.to(torch.int32), y.to(torch.int32)).to(torch.int64)
        else:
            if a.shape[1] > _FLOAT64_TERMS:
                raise UsageError(f"K must be at most {_FLOAT64_TERMS}, not {a.shape[1]}")
            total = torch.matmul(x.to(torch.float64), y.to(torch.float64)).to(torch.int64)
        total = total + self._tensor(bias)
        return torch.remainder(total + 2**31, 2**32) - 2**31

    def _requantise(
        self,
        acc: torch.Tensor,
        multiplier: NDArray[Any],
        shift: NDArray[Any],
        pre: int,
        zero_point: int,
        low: int,
        high: int,
    ) -> torch.Tensor:
        """Scale, round half up, add the zero point, clamp; the upper bound wins."""
        torch = self._torch
        limit = 2 ** (SAT_BITS - 1)
        a = torch.div(acc, 2**pre, rounding_mode="floor")
        a = torch.clamp(a, -limit, limit - 1)
        divisor = self._tensor(2 ** np.array(shift, np.int64))
        scaled = a * self._tensor(multiplier) + torch.div(divisor, 2, rounding_mode="floor")
        y = torch.div(scaled, divisor, rounding_mode="floor") + zero_point
        return torch.clamp(torch.clamp(y, min=low), max=high)
