"""Small networks: MLPerf Tiny's keyword spotting and anomaly detection, and one for digits."""

from __future__ import annotations

from torch import nn

from .blocks import Convolution, separable

__all__ = ["Autoencoder", "Digits", "DsCnn"]


class DsCnn(nn.Sequential):
    """Keyword spotting; input [B, 1, 49, 10], output [B, 12].

    Source: the DS-CNN of MLPerf Tiny, arXiv:2106.07597, after arXiv:1711.07128.
    """

    def __init__(self, classes: int = 12, channels: int = 64) -> None:
        super().__init__(
            Convolution(1, channels, (10, 4), (2, 2), padding=(5, 1)),
            *(separable(channels, channels) for _ in range(4)),
            nn.AvgPool2d((25, 5)),
            nn.Flatten(),
            nn.Linear(channels, classes),
        )


class Autoencoder(nn.Sequential):
    """Anomaly detection by reconstruction; input and output [B, 640].

    Source: the deep autoencoder of MLPerf Tiny, arXiv:2106.07597.
    """

    def __init__(self, size: int = 640, hidden: int = 128, code: int = 8) -> None:
        sizes = [size, *[hidden] * 4, code, *[hidden] * 4, size]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(sizes[:-1], sizes[1:])):
            layers.append(nn.Linear(before, after))
            if i < len(sizes) - 2:
                layers += [nn.BatchNorm1d(after), nn.ReLU()]
        super().__init__(*layers)


class Digits(nn.Sequential):
    """Handwritten digits of 8x8 pixels; input [B, 1, 8, 8] in 0..1, output [B, 10]."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__(
            Convolution(1, channels, 3),
            separable(channels, channels),
            separable(channels, 2 * channels, 2),
            separable(2 * channels, 2 * channels),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * channels, 10),
        )
