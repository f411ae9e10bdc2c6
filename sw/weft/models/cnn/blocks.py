"""What the networks are made of."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Convolution", "SamePadding", "separable"]


class Convolution(nn.Sequential):
    """Convolution, batch norm, and an activation unless it is None.

    Parameters
    ----------
    inputs, outputs : int, channels
    kernel : int or (down, across)
    stride : int
    groups : int
    activation : class of a module, or None
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = nn.ReLU,
        padding: int | tuple[int, int] | None = None,
    ) -> None:
        sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
        sides = (sizes[0] // 2, sizes[1] // 2) if padding is None else padding
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, sides, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            *([activation()] if activation is not None else []),
        )


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A depthwise and a pointwise convolution, each with batch norm and ReLU."""
    return nn.Sequential(
        Convolution(inputs, inputs, 3, stride, groups=inputs),
        Convolution(inputs, outputs, 1),
    )


class SamePadding(nn.Module):
    """Zeros around a map of a known size, so that a stride divides it as TensorFlow's SAME does.

    Where the sum is odd, one more goes behind.
    """

    def __init__(self, size: int, kernel: int, stride: int) -> None:
        super().__init__()
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before = total // 2
        self.widths: Sequence[int] = (before, total - before, before, total - before)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, list(self.widths))
