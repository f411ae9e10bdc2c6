"""What a convolution, a pool or an addition is to a scheduler: sizes, without constants."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

from weft.dram import MemoryModel, roofline_cycles
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ResultType

from .graph import Graph, Node
from .window import Window

__all__ = ["Channels", "WindowProblem"]


class Channels(enum.Enum):
    """Which channels of its map an output channel is made of, and with what weights."""

    #: All of them.
    ALL = "all"
    #: The same one, each with its own weights.
    EACH = "each"
    #: The same one; all have one weight, one scale, and no bias of their own.
    ALIKE = "alike"


_CHANNELS = {
    "conv2d": Channels.ALL,
    "depthwise": Channels.EACH,
    "avg_pool": Channels.ALIKE,
    "max_pool": Channels.ALIKE,
    "add": Channels.ALIKE,
}


@dataclass(frozen=True)
class WindowProblem:
    """A window that moves over a map [height, width, channels].

    Parameters
    ----------
    op : str
        Name of the operation, of :data:`.ops.OPS`.
    height, width, channels : int, of the map
    outputs : int, channels of the result
    window : Window
    in_pixel, out_pixel : int, bytes
        From one pixel to the next, in the arena and on chip.
    result_type : ResultType
    table, residual : bool
        Each int8 result goes through a table; something is added to it.
    """

    op: str
    height: int
    width: int
    channels: int
    outputs: int
    window: Window
    in_pixel: int
    out_pixel: int
    result_type: ResultType = ResultType.INT8
    table: bool = False
    residual: bool = False

    @classmethod
    def of(cls, graph: Graph, node: Node, in_pixel: int, out_pixel: int) -> WindowProblem:
        """The problem of a node whose first operand is a map."""
        x, output = graph.operands(node)[0], graph.tensors[node.output]
        if len(x.shape) != 3:
            raise UsageError(f"node {node.name!r} has no map, but {x}")
        high, wide, channels = x.sizes
        by = node.requant
        return cls(
            node.op,
            high,
            wide,
            channels,
            output.sizes[2],
            node.window or Window(),
            in_pixel,
            out_pixel,
            ResultType[output.dtype.upper()],
            by is not None and by.table is not None,
            by is not None and by.residual_multiplier is not None,
        )

    @property
    def kind(self) -> Channels:
        """Which channels meet."""
        return _CHANNELS[self.op]

    @property
    def maximum(self) -> bool:
        """Products are compared, and not added."""
        return self.op == "max_pool"

    @cached_property
    def out(self) -> tuple[int, int]:
        """Size of the result, down and across."""
        return self.window.output(self.height, self.width)

    @property
    def pixels(self) -> int:
        """Pixels of the result."""
        return self.out[0] * self.out[1]

    @property
    def title(self) -> str:
        """For messages: operation, map and window."""
        size = f"{self.height}x{self.width}x{self.channels}"
        return f"{self.op} {size} {self.window} to {self.outputs}"

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates; a pool and an addition have none."""
        if self.kind is Channels.ALIKE:
            return 0
        each = self.channels if self.kind is Channels.ALL else 1
        return self.pixels * self.outputs * self.window.taps * each

    @property
    def bytes_read(self) -> int:
        """Bytes of the map, the weights and the residual, each once."""
        weights = 0
        if self.kind is not Channels.ALIKE:
            each = self.channels if self.kind is Channels.ALL else 1
            weights = self.window.taps * each * self.outputs
        residual = self.pixels * self.outputs if self.residual else 0
        return self.height * self.width * self.channels + weights + residual

    @property
    def bytes_written(self) -> int:
        """Bytes of the result, once."""
        return self.pixels * self.outputs * self.result_type.bytes

    def roofline(self, config: AcceleratorConfig, memory: MemoryModel) -> float:
        """Cycles that no schedule can beat."""
        return roofline_cycles(config, memory, self.macs, self.bytes_read, self.bytes_written)

    # -- tiles of weights -------------------------------------------------------------------------

    def runs(self, config: AcceleratorConfig) -> tuple[int, int]:
        """(runs of a line of the kernel, tiles of a run).

        Taps that are neighbours in memory are one run; where channels are apart, each tap has as
        many tiles as there are groups of R channels in a row of C.
        """
        across = self.window.kernel[1]
        if self.kind is not Channels.ALL:
            return across, config.cols // config.rows
        if self.window.dilation[1] == 1:
            size = (across - 1) * self.in_pixel + self.channels
            return 1, -(-size // config.rows)
        return across, -(-self.channels // config.rows)

    def tiles(self, config: AcceleratorConfig) -> tuple[int, int]:
        """(tiles along K, tiles of C output channels) on `config`."""
        runs, tiles = self.runs(config)
        return self.window.kernel[0] * runs * tiles, -(-self.outputs // config.cols)

    def weight_tiles(self, config: AcceleratorConfig) -> int:
        """Tiles of weights that differ."""
        k, n = self.tiles(config)
        return self.runs(config)[1] if self.kind is Channels.ALIKE else k * n
