"""Random nodes and small networks on maps, whose results spread over their type."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from weft.compiler.graph.build import Builder
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.ops import ADD_WEIGHT
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.window import Window
from weft_hw.numerics import RESIDUAL_SHIFT, multiplier_for

__all__ = ["MapMaker", "chain", "network", "separable", "values_of"]


class MapMaker:
    """Adds random nodes to a graph; decisions and constants follow from the seed."""

    def __init__(self, seed: int) -> None:
        self.choose, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.make, self.count = Builder(), 0
        self.shapes: dict[str, tuple[int, int, int]] = {}

    def input(self, shape: tuple[int, int, int]) -> str:
        return self._kept(self.make.input(f"x{len(self.shapes)}", shape), shape)

    def _kept(self, name: str, shape: tuple[int, ...]) -> str:
        self.shapes[name] = tuple(shape)  # type: ignore[assignment]
        return name

    def _name(self, op: str) -> str:
        self.count += 1
        return f"{op}{self.count}"

    def requant(self, spread: float, channels: int, residual: bool = False, table: bool = False):
        """Scales that bring sums of standard deviation `spread` to about 40."""
        real = 40 / spread * (1 if residual else 4.0 ** self.rng.uniform(-0.5, 0.5, channels))
        multiplier, shift = multiplier_for(np.broadcast_to(real, (channels,)).astype(float))
        low = self.choose.choice([-128, -128, 0, -20])
        more: dict[str, Any] = {}
        if residual:
            factor = self.choose.uniform(0.3, 1.2) * 2.0 ** (int(shift[0]) - RESIDUAL_SHIFT)
            more = {"residual_multiplier": min(int(factor), 2**17 - 1),
                    "residual_zero_point": self.choose.randint(-30, 30)}
        if table:
            more["table"] = self.rng.integers(-128, 128, 256, np.int8)
        zero_point = self.choose.randint(-20, 20)
        return Requant(multiplier, shift, zero_point=zero_point, low=low, high=127, **more)

    def window(self, shape: tuple[int, int, int], kernel: tuple[int, int] | None = None) -> Window:
        """A window that fits a map."""
        choose = self.choose
        while True:
            k = kernel or choose.choice([(1, 1), (3, 3), (3, 3), (2, 2), (5, 5), (1, 3), (3, 1)])
            stride = choose.choice([(1, 1), (1, 1), (2, 2), (1, 2)])
            dilation = choose.choice([(1, 1), (1, 1), (1, 1), (2, 2), (1, 3)])
            sides = [choose.choice([0, size // 2, size // 2]) for size in k]
            padding = (sides[0], sides[0], sides[1], choose.choice([sides[1], 0]))
            if shape[2] <= 4 and shape[1] % 4:
                padding = (padding[0], padding[1], 0, 0)
            window = Window(k, stride, dilation, padding, choose.randint(-128, 127))
            try:
                window.output(*shape[:2])
            except Exception:
                continue
            return window

    def conv2d(self, x: str, outputs: int, window: Window | None = None, residual=None) -> str:
        shape = self.shapes[x]
        window = window or self.window(shape)
        w = self.rng.integers(-127, 128, (*window.kernel, shape[2], outputs), np.int8)
        spread = 74.0**2 * math.sqrt(window.taps * shape[2])
        by = self.requant(spread, outputs, residual is not None, self.choose.random() < 0.2)
        bias = self.rng.integers(-(2**12), 2**12, outputs).astype(np.int32)
        name = self.make.convolution(
            self._name("conv"), x, w, bias, by, window=window, residual=residual
        )
        return self._kept(name, (*window.output(*shape[:2]), outputs))

    def depthwise(self, x: str, window: Window | None = None) -> str:
        shape = self.shapes[x]
        window = window or self.window(shape)
        w = self.rng.integers(-127, 128, (*window.kernel, shape[2]), np.int8)
        by = self.requant(74.0**2 * math.sqrt(window.taps), shape[2])
        bias = self.rng.integers(-(2**9), 2**9, shape[2]).astype(np.int32)
        name = self.make.convolution(self._name("depthwise"), x, w, bias, by, window=window)
        return self._kept(name, (*window.output(*shape[:2]), shape[2]))

    def pool(self, op: str, x: str, window: Window | None = None) -> str:
        shape = self.shapes[x]
        window = window or self.window(shape)
        by = None
        if op == "avg_pool" or self.choose.random() < 0.4:
            taps = window.taps if op == "avg_pool" else 1
            by = self.requant(74.0 * math.sqrt(taps), 1)
        bias = {"bias": self.choose.randint(-(2**10), 2**10)} if op == "avg_pool" else {}
        name = getattr(self.make, op)(self._name(op), x, window, by, **bias)
        return self._kept(name, (*window.output(*shape[:2]), shape[2]))

    def add(self, a: str, b: str) -> str:
        by = self.requant(74.0 * ADD_WEIGHT, 1, residual=True)
        bias = self.choose.randint(-(2**10), 2**10)
        return self._kept(self.make.add(self._name("add"), a, b, by, bias), self.shapes[a])

    def concat(self, *parts: str) -> str:
        shapes = [self.shapes[part] for part in parts]
        name = self.make.concat(self._name("concat"), *parts)
        return self._kept(name, (*shapes[0][:2], sum(s[2] for s in shapes)))

    def build(self, *outputs: str) -> Graph:
        return self.make.build(*outputs)


def network(seed: int, size: int = 12, channels: int = 24, nodes: int = 6) -> Graph:
    """A small network of random nodes, with branches that meet again."""
    m = MapMaker(seed)
    choose = m.choose
    shape = (choose.randint(3, size), choose.randint(3, size), choose.choice([1, 3, 4, 8, 16, 20]))
    maps = [m.input(shape)]
    for _ in range(nodes):
        x = choose.choice(maps[-2:])
        high, wide, deep = m.shapes[x]
        op = choose.choice(
            ["conv", "conv", "depthwise", "avg_pool", "max_pool", "add", "residual", "concat"]
        )
        if op == "conv":
            found = m.conv2d(x, choose.randint(1, channels))
        elif op == "depthwise":
            found = m.depthwise(x)
        elif op in ("avg_pool", "max_pool"):
            found = m.pool(op, x)
        elif op == "concat":  # of parts that are made for it alone
            sizes = [choose.choice([16, 32]) for _ in range(choose.randint(1, 2))]
            sizes.append(choose.randint(1, channels))
            found = m.concat(*(m.conv2d(x, size, Window()) for size in sizes))
        else:
            alike = [name for name in maps if m.shapes[name] == m.shapes[x]]
            other = choose.choice(alike)
            if op == "add":
                found = m.add(x, other)
            else:
                sides = choose.choice([0, 1])
                if deep <= 4 and wide % 4:
                    sides = 0
                k = 2 * sides + 1
                window = Window((k, k), padding=(sides,) * 4, value=choose.randint(-128, 127))
                found = m.conv2d(x, deep, window, residual=other)
        maps.append(found)
    read = {name for node in m.make._nodes for name in node.inputs}
    return m.build(*(name for name in maps[1:] if name not in read))


def values_of(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Random maps for the inputs of a graph."""
    rng = np.random.default_rng(seed)
    return {n: rng.integers(-128, 128, graph.tensors[n].sizes, np.int8) for n in graph.inputs}


def separable(seed: int, expand: float = 0.4) -> Graph:
    """A depthwise convolution and a pointwise one behind it; perhaps, as often as `expand` says, a
    pointwise one in front, and an addition behind."""
    maker = MapMaker(seed)
    choose = maker.choose
    size = (choose.randint(3, 14), choose.randint(3, 14))
    channels = choose.choice([8, 16, 24, 32, 40, 20, 33])
    x = given = maker.input((*size, channels))
    if choose.random() < expand:
        x = maker.conv2d(x, choose.choice([16, 24, 48, 64]), Window())
    kernel = choose.choice([(3, 3)] * 4 + [(5, 5), (3, 1), (1, 3), (7, 3)])
    x = maker.depthwise(x, maker.window(maker.shapes[x], kernel))
    residual = maker.shapes[x][:2] == size and choose.random() < 0.5
    outputs = channels if residual else choose.randint(1, 70)
    x = maker.conv2d(x, outputs, Window(), residual=given if residual else None)
    if choose.random() < 0.3:
        x = maker.depthwise(x, Window((3, 3), padding=(1, 1, 1, 1)))
    return maker.build(x)


def chain(seed: int, most: int = 16) -> Graph:
    """Blocks of MobileNets behind each other, of maps with up to `most` lines."""
    m = MapMaker(seed)
    choose = m.choose
    shape = (choose.randint(4, most), choose.randint(4, most), choose.choice([16, 24, 32]))
    x = m.input(shape)
    for _ in range(choose.randint(2, 5)):
        start, kind = x, choose.random()
        if kind < 0.5:
            x = m.conv2d(x, choose.choice([32, 48, 64, 96]), Window())
        elif kind < 0.6:
            x = m.conv2d(x, choose.choice([16, 32]))
        x = m.depthwise(x, m.window(m.shapes[x], choose.choice([(3, 3)] * 4 + [(5, 5)])))
        if choose.random() < 0.85:
            is_same = m.shapes[x][:2] == m.shapes[start][:2] and choose.random() < 0.6
            outputs = m.shapes[start][2] if is_same else choose.choice([16, 24, 32, 48])
            x = m.conv2d(x, outputs, Window(), residual=start if is_same else None)
        if choose.random() < 0.15:
            x = m.pool("max_pool", x)
    return m.build(x)
