"""EfficientNet-Lite0: EfficientNet-B0 (arXiv:1905.11946) without squeeze-and-excitation.

Activations are ReLU6.

Source of the differences and of the padding: github.com/tensorflow/tpu, efficientnet/lite.
"""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import SamePadding

__all__ = ["EfficientNetLite0"]

#: Kernel, stride, expansion, output channels and repeats of each stage.
_STAGES = (
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1),
)  # fmt: skip
_EPS = 1e-3


def _convolution(
    size: int, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1,
    clamps: bool = True,
) -> nn.Sequential:  # fmt: skip
    """Convolution with TensorFlow's padding, batch norm, ReLU6."""
    return nn.Sequential(
        SamePadding(size, kernel, stride),
        nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=_EPS),
        *([nn.ReLU6()] if clamps else []),
    )


class _Block(nn.Module):
    def __init__(
        self, size: int, inputs: int, outputs: int, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.has_sum = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *([_convolution(size, inputs, hidden, 1)] if expansion > 1 else []),
            _convolution(size, hidden, hidden, kernel, stride, hidden),
            _convolution(-(-size // stride), hidden, outputs, 1, clamps=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.has_sum else y


class EfficientNetLite0(nn.Sequential):
    """Input [B, 3, size, size], pixels as (x - 127) / 128; output [B, classes]."""

    def __init__(self, size: int = 224, classes: int = 1000) -> None:
        layers: list[nn.Module] = [_convolution(size, 3, 32, 3, 2)]
        size, channels = -(-size // 2), 32
        for kernel, stride, expansion, outputs, repeats in _STAGES:
            for i in range(repeats):
                step = stride if i == 0 else 1
                layers.append(_Block(size, channels, outputs, expansion, kernel, step))
                size, channels = -(-size // step), outputs
        super().__init__(
            *layers,
            _convolution(size, channels, 1280, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(1280, classes),
        )
