"""A convolution as one MATMUL, by hand: the map with its border lies in the scratchpad, and the
array reads runs of its lines from any word on. Written from docs/isa.md; the sums are numpy's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weft.compiler.lower.constants import pack_parameters, pack_weights
from weft.program import Program, TensorSpec
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES, Instruction, Opcode, ResultType, Space

__all__ = ["Convolution"]


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def _jumps(name: str, strides: list[int], counts: list[int], first: int = 0) -> dict[str, int]:
    found, back = {}, 0
    for level, (stride, count) in enumerate(zip(strides, counts)):
        if level >= first:
            found[f"{name}{level}"] = stride - back
        back += (count - 1) * stride
    return found


@dataclass(frozen=True)
class Convolution:
    """int8 [height, width, channels] to int32 [out height, out width, outputs]; the border is part
    of the map. A pixel takes whole words, a line whole granules."""

    height: int
    width: int
    channels: int
    outputs: int
    kernel: int
    stride: int = 1
    dilation: int = 1

    @property
    def out(self) -> tuple[int, int]:
        reach = self.dilation * (self.kernel - 1) + 1
        high, wide = ((n - reach) // self.stride + 1 for n in (self.height, self.width))
        return high, wide

    @property
    def pixel(self) -> int:
        """Bytes from one pixel to the next."""
        return _up(self.channels, 4)

    @property
    def pitch(self) -> int:
        """Bytes from one line to the next."""
        return _up(self.width * self.pixel, 16)

    def sums(self, x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """int32 [*out, outputs] of x and int8 w [kernel, kernel, channels, outputs]."""
        high, wide = self.out
        found = np.zeros((high, wide, self.outputs), np.int64) + bias
        for ky in range(self.kernel):
            for kx in range(self.kernel):
                top, left = ky * self.dilation, kx * self.dilation
                part = x[top : top + self.stride * high : self.stride,
                         left : left + self.stride * wide : self.stride].astype(np.int64)
                found += part[:high, :wide] @ w[ky, kx].astype(np.int64)
        return found.astype(np.int32)

    def runs(self, config: AcceleratorConfig) -> int:
        """Tiles of weights for a line of the kernel."""
        if self.dilation == 1:
            return -(-self.kernel * self.pixel // config.rows)
        return self.kernel * -(-self.pixel // config.rows)

    def program(self, config: AcceleratorConfig, w: np.ndarray, bias: np.ndarray) -> Program:
        """LOADs, SETUP, one MATMUL, STORE. Runs of a line are whole where taps are neighbours."""
        rows, cols = config.rows, config.cols
        near = self.dilation == 1
        runs = [self.kernel * self.pixel] if near else [self.pixel] * self.kernel
        tiles = -(-runs[0] // rows)
        # Weights by line of the kernel, run, and byte in the run: zero between and past channels.
        padded = np.zeros((self.kernel, self.kernel, self.pixel, self.outputs), np.int8)
        padded[:, :, : self.channels] = w
        by_run = padded.reshape(self.kernel, len(runs), runs[0], self.outputs)
        by_run = np.pad(by_run, ((0, 0), (0, 0), (0, tiles * rows - runs[0]), (0, 0)))
        weights = pack_weights(config, by_run.reshape(-1, self.outputs))
        parameters = pack_parameters(config, bias, None)
        high, wide = self.out
        n_tiles = -(-self.outputs // cols)
        row = _up(n_tiles * cols * 4, 16)
        # 0 across, 1 down, 2 tiles of a run, 3 runs, 4 lines of the kernel, 5 output channels
        counts = [wide, high, tiles, len(runs), self.kernel, n_tiles]
        line, h = self.pitch // 4, config.tile_words
        steps = self.kernel * len(runs) * tiles
        act = [self.stride * self.pixel // 4, self.stride * line, rows // 4,
               self.dilation * self.pixel // 4, self.dilation * line, 0]
        weight = [0, 0, h, tiles * h, len(runs) * tiles * h, steps * h]
        result = [row // 4, wide * row // 4, 0, 0, 0, cols]
        acc = [1, wide, 0, 0, 0, 0]
        at = 0
        places = {}
        for name, size in (("x", self.height * self.pitch), ("w", weights.nbytes),
                           ("p", parameters.nbytes), ("y", high * wide * row)):
            places[name], at = at, _up(at + size, 256)
        here = _up(self.height * self.pitch + rows, 64) // 4

        def load(name: str, space: Space, size: int, post: int) -> Instruction:
            fields = {"space": space, "dram_offset": places[name], "rows": 1}
            fields["bytes"] = _up(size, 16)
            return Instruction(Opcode.LOAD, (), (post,), fields)

        matmul = {f"count{i}": c for i, c in enumerate(counts)}
        matmul |= {"tile_levels": 2, "reduction": 0b011100, "first": 1, "last": 1}
        matmul |= {"result_address": here}
        matmul |= _jumps("act_jump", act, counts) | _jumps("acc_jump", acc, counts)
        matmul |= _jumps("weight_jump", weight, counts, 1)
        setup = {"result_type": ResultType.INT32, **_jumps("result_jump", result, counts)}
        setup |= _jumps("parameter_jump", [0, 0, 0, 0, 0, cols // 2], counts, 1)
        store = {"dram_offset": places["y"], "rows": 1, "bytes": high * wide * row,
                 "chip_address": here}
        instructions = [
            load("x", Space.SCRATCHPAD, self.height * self.pitch, 0),
            load("w", Space.WEIGHTS, weights.nbytes, 1),
            load("p", Space.PARAMETERS, parameters.nbytes, 2),
            Instruction(Opcode.SETUP, fields=setup),
            Instruction(Opcode.MATMUL, (0, 1, 2), (3,), matmul),
            Instruction(Opcode.STORE, (3,), (), store),
            Instruction(Opcode.END),
        ]
        x = (self.height, self.width, self.channels)
        dense = self.pixel == self.channels or self.channels <= 4
        assert dense, "pixels of a tensor are dense, or lie 4 bytes apart"
        pitches = (self.pitch, self.pixel)
        y = TensorSpec("y", "int32", (high, wide, self.outputs), places["y"], (wide * row, row))
        return Program(
            config, instructions, program_offset=at,
            arena_bytes=_up(at + len(instructions) * INSTRUCTION_BYTES, 256),
            constants=[(places["w"], weights), (places["p"], parameters)],
            inputs=[TensorSpec("x", "int8", x, places["x"], pitches)], outputs=[y],
        )  # fmt: skip
