"""MobileNetV1 (arXiv:1704.04861, table 1) and MobileNetV2 (arXiv:1801.04381, table 2)."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Convolution, separable

__all__ = ["MobileNetV1", "MobileNetV2"]

#: Output channels and stride of each separable block.
_V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
#: Expansion, output channels, repeats and stride of the first of each stage.
_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
    (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


class MobileNetV1(nn.Sequential):
    """Input [B, 3, S, S], output [B, classes]; channels are those of the paper times `width`."""

    def __init__(self, width: float = 1.0, classes: int = 1000) -> None:
        channels = int(32 * width)
        layers: list[nn.Module] = [Convolution(3, channels, 3, 2)]
        for outputs, stride in _V1:
            layers.append(separable(channels, int(outputs * width), stride))
            channels = int(outputs * width)
        super().__init__(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
        )


class _Inverted(nn.Module):
    """Expand, depthwise, project; added to its input where shapes are the same."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.has_sum = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *([Convolution(inputs, hidden, 1, activation=nn.ReLU6)] if expansion > 1 else []),
            Convolution(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            Convolution(hidden, outputs, 1, activation=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.has_sum else y


class MobileNetV2(nn.Sequential):
    """Input [B, 3, S, S], output [B, classes]; width 1.0."""

    def __init__(self, classes: int = 1000) -> None:
        channels = 32
        layers: list[nn.Module] = [Convolution(3, channels, 3, 2, activation=nn.ReLU6)]
        for expansion, outputs, repeats, stride in _V2:
            for i in range(repeats):
                layers.append(_Inverted(channels, outputs, expansion, stride if i == 0 else 1))
                channels = outputs
        super().__init__(
            *layers,
            Convolution(channels, 1280, 1, activation=nn.ReLU6),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(1280, classes),
        )
