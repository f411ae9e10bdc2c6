"""ResNet-18 (arXiv:1512.03385, table 1) and the ResNet-8 of MLPerf Tiny (arXiv:2106.07597)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import Convolution

__all__ = ["ResNet8", "ResNet18"]


class _Block(nn.Module):
    """Two 3x3 convolutions, added to their input, which a 1x1 convolution fits where it must."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, outputs, 3, stride)
        self.second = Convolution(outputs, outputs, 3, activation=None)
        is_same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if is_same else Convolution(inputs, outputs, 1, stride, activation=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class ResNet18(nn.Sequential):
    """Input [B, 3, S, S], output [B, classes]."""

    def __init__(self, classes: int = 1000) -> None:
        layers: list[nn.Module] = [Convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for stage, outputs in enumerate((64, 128, 256, 512)):
            for i in range(2):
                layers.append(_Block(channels, outputs, 2 if stage and not i else 1))
                channels = outputs
        super().__init__(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
        )


class ResNet8(nn.Sequential):
    """Input [B, 3, 32, 32], output [B, classes]."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            Convolution(3, 16, 3),
            _Block(16, 16, 1),
            _Block(16, 32, 2),
            _Block(32, 64, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, classes),
        )
