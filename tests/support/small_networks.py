"""Small torch networks, one for each thing that a compiler has to see."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Branches", "Everything", "inputs", "net"]


class Everything(nn.Module):
    """Pad, convolution, batch norm, clamps, pools, a depthwise, a table, a residual, a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.b1 = nn.BatchNorm2d(8)
        self.c2 = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.b2 = nn.BatchNorm2d(8)
        self.c3 = nn.Conv2d(8, 8, 1)
        self.act = nn.Hardswish()
        self.fc = nn.Linear(8, 10)
        self.drop = nn.Dropout()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mp = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.b1(self.c1(F.pad(x, [0, 1, 0, 1]))))
        x = self.mp(x)
        y = self.c3(self.act(self.b2(self.c2(x))))
        x = torch.relu_(x + y)
        x = torch.flatten(self.pool(x), 1)
        return F.softmax(self.fc(self.drop(x)), 1)


class Branches(nn.Module):
    """Two convolutions that are added, one of which another layer reads too; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 1)
        self.c, self.d = nn.Conv2d(6, 5, 3), nn.Conv2d(6, 3, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        s = self.a(x) + self.b(x)
        return self.c(s), self.d(torch.sigmoid(s))


def net(*layers: nn.Module, seed: int = 0) -> nn.Module:
    """Layers one after the other, in eval mode, with the weights of a seed."""
    torch.manual_seed(seed)
    model = nn.Sequential(*layers)
    for part in model.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return model.eval()


def inputs(*shape: int, count: int = 4, seed: int = 1) -> torch.Tensor:
    """float32 [count, *shape] of normal noise."""
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))
