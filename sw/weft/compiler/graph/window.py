"""The window of a convolution or a pool: how it moves over a map, and the border that it sees."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import UsageError

__all__ = ["Window"]


@dataclass(frozen=True)
class Window:
    """A kernel over a map [H, W, C], with a border of `value` around it.

    Output pixel (y, x) sees input pixels ``(y * stride - top + i * dilation, ...)``, i in
    0..kernel-1; what lies outside of the map has `value`.

    Parameters
    ----------
    kernel, stride, dilation : (down, across), >= 1
    padding : (top, bottom, left, right), >= 0
    value : int, -128..127
        Of the border: the zero point of the map, where it stands for zero.

    Raises
    ------
    UsageError
        A value breaks a rule.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    value: int = 0

    def __post_init__(self) -> None:
        for name, count, least in (
            ("kernel", 2, 1), ("stride", 2, 1), ("dilation", 2, 1), ("padding", 4, 0)
        ):  # fmt: skip
            found = getattr(self, name)
            if len(found) != count or any(type(v) is not int or v < least for v in found):
                raise UsageError(f"{name} must be {count} ints >= {least}, not {found!r}")
        if type(self.value) is not int or not -128 <= self.value <= 127:
            raise UsageError(f"the value of a border must be in -128..127, not {self.value!r}")

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels from the first that the kernel sees to behind the last, down and across."""
        down, across = (d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation))
        return down, across

    @property
    def taps(self) -> int:
        """Pixels that the kernel sees."""
        return self.kernel[0] * self.kernel[1]

    @property
    def is_plain(self) -> bool:
        """Whether it looks at each pixel alone, once."""
        return self.reach == (1, 1) and self.stride == (1, 1) and not any(self.padding)

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Size of the largest map that it makes of one of [height, width, C]; raises UsageError."""
        top, bottom, left, right = self.padding
        sizes = (height + top + bottom, width + left + right)
        found = [
            (size - reach) // stride + 1
            for size, reach, stride in zip(sizes, self.reach, self.stride)
        ]
        if min(found) < 1:
            raise UsageError(
                f"a kernel that reaches over {list(self.reach)} pixels does not fit a map of "
                f"{list(sizes)}, border included"
            )
        return found[0], found[1]

    def __str__(self) -> str:
        text = "x".join(map(str, self.kernel))
        for name, none in (("stride", (1, 1)), ("dilation", (1, 1)), ("padding", (0, 0, 0, 0))):
            value = getattr(self, name)
            if value != none:
                text += f" {name} {','.join(map(str, value))}"
        return text
