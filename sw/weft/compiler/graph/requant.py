"""How the int32 sums of a node become its results: the one spelling of a requantisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError
from weft_hw.numerics import MULTIPLIER_MAX, PRE_MAX, SHIFT_MAX, SHIFT_MIN, TABLE_SIZE

__all__ = ["BOUNDS", "Requant", "integers"]

#: Smallest and largest result of each type that is requantised.
BOUNDS = {"int8": (-128, 127), "int16": (-(2**15), 2**15 - 1)}


def integers(
    what: str,
    value: object,
    shape: tuple[int, ...],
    least: int,
    most: int,
    dtype: type[np.signedinteger],  # type: ignore[type-arg]
) -> NDArray[np.signedinteger]:  # type: ignore[type-arg]
    """`value` as a contiguous array of `dtype`.

    Raises
    ------
    UsageError
        It has another shape, is no array of integers, or one lies outside least..most.
    """
    found = np.asarray(value)
    if found.shape != shape:
        raise UsageError(f"{what} must be {list(shape)}, not {list(found.shape)}")
    if not np.issubdtype(found.dtype, np.integer):
        raise UsageError(f"{what} must be integers, not {found.dtype}")
    bad = (found < least) | (found > most)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise UsageError(
            f"{what} must be in {least}..{most}, not {found[where]} at {list(where)}"
        )
    return np.ascontiguousarray(found, dtype)


@dataclass(frozen=True, eq=False)
class Requant:
    """``clamp(zero_point + ((sat25(sum >> pre) * multiplier + half) >> shift), low, high)``.

    ``weft_hw.numerics.requantise`` is the definition.

    Parameters
    ----------
    multiplier : int64 [N], 0..MULTIPLIER_MAX
    shift : int64 [N], SHIFT_MIN..SHIFT_MAX
    pre : int, 0..PRE_MAX
    zero_point, low, high : int, values of the result type
    table : int8 [TABLE_SIZE] or None
        For int8 results: entry i replaces the result whose byte is i.
    residual_multiplier : int, 0..MULTIPLIER_MAX, or None
        For int8 results: the node has one more operand r, int8, and ``((r - residual_zero_point) <<
        RESIDUAL_SHIFT) * residual_multiplier`` is added before the rounding.
    residual_zero_point : int, -128..127

    Raises
    ------
    UsageError
        A value breaks a rule.
    """

    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    pre: int = 0
    zero_point: int = 0
    low: int = -128
    high: int = 127
    table: NDArray[np.int8] | None = None
    residual_multiplier: int | None = None
    residual_zero_point: int = 0

    def __post_init__(self) -> None:
        channels = np.asarray(self.multiplier).shape[:1]
        for name, least, most in (
            ("multiplier", 0, MULTIPLIER_MAX),
            ("shift", SHIFT_MIN, SHIFT_MAX),
        ):
            value = integers(name, getattr(self, name), channels, least, most, np.int64)
            object.__setattr__(self, name, value)
        if self.table is not None:
            table = integers("table", self.table, (TABLE_SIZE,), -128, 127, np.int8)
            object.__setattr__(self, "table", table)
        limits = {"pre": (0, PRE_MAX)}
        limits |= dict.fromkeys(("zero_point", "low", "high"), BOUNDS["int16"])
        limits["residual_zero_point"] = BOUNDS["int8"]
        if self.residual_multiplier is not None:
            limits["residual_multiplier"] = (0, MULTIPLIER_MAX)
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not (isinstance(value, (int, np.integer)) and least <= value <= most):
                raise UsageError(f"{name} must be an int in {least}..{most}, not {value!r}")
            object.__setattr__(self, name, int(value))

    def verify(self, channels: int, dtype: str) -> None:
        """Refuse a result type or a number of channels that it is not for; raises UsageError."""
        if dtype not in BOUNDS:
            raise UsageError(f"only {' and '.join(BOUNDS)} results are requantised, not {dtype}")
        if len(self.multiplier) != channels:
            raise UsageError(f"{channels} channels need as many multipliers, "
                             f"not {len(self.multiplier)}")
        if self.table is not None and dtype != "int8":
            raise UsageError(f"a table needs int8 results, not {dtype}")
        if self.residual_multiplier is not None and dtype != "int8":
            raise UsageError(f"a residual needs int8 results, not {dtype}")
        least, most = BOUNDS[dtype]
        for name in ("zero_point", "low", "high"):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(
                    f"{name} must be in {least}..{most} for {dtype} results, not {value}"
                )
        if self.low > self.high:
            raise UsageError(f"low must not exceed high, not {self.low} and {self.high}")

    def __str__(self) -> str:
        text = f">> {self.pre} * m >> s + {self.zero_point}, {self.low}..{self.high}"
        if self.residual_multiplier is not None:
            text += f", residual - {self.residual_zero_point} * {self.residual_multiplier}"
        return text if self.table is None else f"{text}, table"
