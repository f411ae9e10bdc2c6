"""Random torch networks: convolutions, sums, joins, pools, activations, linear layers."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["RandomNetwork"]

_ACTIVATIONS = {
    "none": lambda x: x, "relu": F.relu, "relu6": F.relu6, "silu": F.silu, "hardswish": F.hardswish,
    "clamp": lambda x: x.clamp(-0.7, 1.2), "leaky": lambda x: F.leaky_relu(x, 0.1),
    "sigmoid": torch.sigmoid,
}  # fmt: skip


class RandomNetwork(nn.Module):
    """A network whose shape and weights follow from `seed`; in eval mode.

    ``shape`` is that of its input, a batch of one; ``kinds`` what it is made of.
    """

    def __init__(self, seed: int, size: int = 9, nodes: int = 6) -> None:
        super().__init__()
        self.choose = choose = random.Random(seed)
        torch.manual_seed(seed)
        channels = choose.choice([1, 2, 3, 4, 5, 8, 16, 16, 20])
        self.shape = (1, channels, choose.randint(3, size), choose.randint(3, size))
        self.parts = nn.ModuleList()
        self.plan: list[tuple[str, tuple[int, ...], int, str]] = []
        shapes: list[tuple[int, int, int]] = [self.shape[1:]]
        for _ in range(nodes):
            self._grow(shapes)
        self.kinds = [kind for kind, *_ in self.plan]
        self.head = choose.choice(["map", "flat", "pool"])
        c, h, w = shapes[-1]
        self.linear = nn.Linear(c * h * w if self.head == "flat" else c, choose.randint(1, 12))
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.5)
                part.running_var.uniform_(0.3, 3)
        self.eval()

    def _grow(self, shapes: list[tuple[int, int, int]]) -> None:
        choose = self.choose
        at = choose.choice([len(shapes) - 1, len(shapes) - 1, choose.randrange(len(shapes))])
        c, h, w = shapes[at]
        kinds = ["conv", "conv", "depthwise", "pool", "add", "residual", "join", "pad"]
        kind = choose.choice(kinds)
        alike = [i for i, s in enumerate(shapes) if s == shapes[at]]
        part: nn.Module = nn.Identity()
        sources, out = (at,), (c, h, w)
        if kind in ("conv", "depthwise", "residual"):
            k = choose.choice([1, 3, 3, 5, (1, 3), (3, 1)])
            kernel = (k, k) if isinstance(k, int) else k
            same = kind == "residual"
            stride = 1 if same else choose.choice([1, 1, 2])
            dilation = choose.choice([1, 1, 2])
            sides = tuple(d * (v - 1) // 2 for v, d in zip(kernel, (dilation, dilation)))
            groups = c if kind == "depthwise" else 1
            n = c if groups == c or same else choose.choice([16, choose.randint(1, 24)])
            layer = nn.Conv2d(c, n, kernel, stride, sides, dilation, groups,
                              bias=choose.random() < 0.5)  # fmt: skip
            part = nn.Sequential(layer, nn.BatchNorm2d(n)) if choose.random() < 0.5 else layer
            out = (n, -(-h // stride), -(-w // stride))
            if same:
                sources = (at, choose.choice(alike))
        elif kind == "pool":
            k = choose.choice([2, 3])
            if min(h, w) >= k:
                part = choose.choice([nn.MaxPool2d, nn.AvgPool2d])(k, choose.choice([1, 2]), k // 2)
                out = tuple(part(torch.zeros(1, c, h, w)).shape[1:])
        elif kind == "add":
            sources = (at, choose.choice(alike))
        elif kind == "join":
            near = [i for i, s in enumerate(shapes) if s[1:] == (h, w)]
            sources = (at, choose.choice(near))
            out = (sum(shapes[i][0] for i in sources), h, w)
        else:
            out = (c, h + 1, w + 2)
        self.parts.append(part)
        self.plan.append((kind, sources, out[0], choose.choice(list(_ACTIVATIONS))))
        shapes.append(out)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for (kind, sources, _, activation), part in zip(self.plan, self.parts):
            given = [maps[i] for i in sources]
            if kind == "join":
                y = torch.cat(given, 1)
            elif kind == "pad":
                y = F.pad(given[0], [1, 1, 0, 1])
            else:
                y = part(given[0])
                if len(given) == 2:
                    y = y + given[1]
            maps.append(_ACTIVATIONS[activation](y))
        if self.head == "map":
            return maps[-1]
        y = torch.flatten(maps[-1], 1) if self.head == "flat" else maps[-1].mean((2, 3))
        found: Tensor = self.linear(y)
        return found
