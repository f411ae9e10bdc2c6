"""Tilings: the choices that make a schedule of a problem."""

from __future__ import annotations

from dataclasses import dataclass

from weft.compiler.graph.matmul import GemmProblem
from weft_hw.config import AcceleratorConfig

__all__ = ["AnyTiling", "DepthwiseTiling", "FusedTiling", "Tiling", "WindowTiling"]


@dataclass(frozen=True)
class Tiling:
    """The choices that make a schedule. Tiles are R x C weight tiles.

    Parameters
    ----------
    block_rows : int
        Rows of A that one block of M holds.
    gather : int, tiles
        Columns of tiles whose results are gathered on chip before a store.
    last_gather : int, tiles
        The same for the last store of a block; small, so that little is left to write at the end.
    result_banks : int
        Scratchpad banks that hold results; the others hold activations.
    chunk_tiles : int
        Weight tiles of one load and one MATMUL, at most.
    activations_resident : bool
        A block of A is loaded once; otherwise it is loaded again for each group of columns.
    weights_resident : bool
        All weights are loaded once; otherwise they are loaded again for each block.
    first_k : int, tiles
        Tiles along K of the very first loads, which double from one to the next.
    last_rows : int
        Rows of the steps that end the layer; 0 for whole blocks.
    final_chunk : int, tiles
        Not 0 where weights arrive as fast as they are used: the last chunk, towards which the
        others shrink, so that compute ends soon after the loads.
    """

    block_rows: int
    gather: int
    last_gather: int
    result_banks: int
    chunk_tiles: int
    activations_resident: bool
    weights_resident: bool
    first_k: int
    last_rows: int = 0
    final_chunk: int = 0


@dataclass(frozen=True)
class WindowTiling:
    """The choices that make a schedule of a window over a map.

    Parameters
    ----------
    lines : int
        Lines of the result in one block.
    gather : int, tiles
        Columns of tiles whose results are gathered on chip before a store.
    result_banks : int
        Scratchpad banks that hold results; the others hold lines of the map.
    chunk_tiles : int
        Weight tiles of one load and one MATMUL, at most.
    weights_resident : bool
        All weights are loaded once; otherwise they are loaded again for each block.
    """

    lines: int
    gather: int
    result_banks: int
    chunk_tiles: int
    weights_resident: bool


@dataclass(frozen=True)
class DepthwiseTiling:
    """The choices that make a schedule of a window on the depthwise engine.

    Parameters
    ----------
    lines : int
        Lines of the result in one block.
    groups : int
        Groups of R channels of one DEPTHWISE, whose results are gathered before a store.
    result_banks : int
        Scratchpad banks that hold results; the others hold lines of the map.
    """

    lines: int
    groups: int
    result_banks: int


@dataclass(frozen=True)
class FusedTiling:
    """The choices that make a schedule of a window on the depthwise engine, and of the product
    that takes its results from the scratchpad while the engine makes the next ones; maybe also of
    the product that makes the map of the window.

    Parameters
    ----------
    lines : int
        Lines of the result in one block.
    groups : int
        Groups of R channels of one DEPTHWISE.
    k_outermost : bool
        The product takes the groups of each DEPTHWISE as soon as they are there, and adds them to
        all its sums; otherwise it waits for all groups of a block.
    gather : int, tiles
        Columns of tiles whose results are gathered on chip before a store.
    middle_banks, result_banks : int
        Scratchpad banks that hold results of the engine, and of the product; the others hold lines
        of the map. Where the array makes the map, what it is made of is with the former, and the
        results of the product, in no banks of their own, are behind the map.
    chunk_tiles : int
        Weight tiles of one load and one MATMUL, at most.
    weights_resident : bool
        All weights are loaded once; otherwise they are loaded again for each block.
    held_lines : int
        Lines of the map on chip, where the array makes it there; 0: it is loaded.
    """

    lines: int
    groups: int
    k_outermost: bool
    gather: int
    middle_banks: int
    result_banks: int
    chunk_tiles: int
    weights_resident: bool
    held_lines: int = 0

    def product(self, problem: GemmProblem, wide: int) -> Tiling:
        """The tiling of the product, whose rows are the pixels of lines `wide` pixels long."""
        return Tiling(
            block_rows=min(self.lines * wide, problem.m),
            gather=self.gather,
            last_gather=self.gather,
            result_banks=self.result_banks,
            chunk_tiles=self.chunk_tiles,
            activations_resident=True,
            weights_resident=self.weights_resident,
            first_k=self.chunk_tiles,
        )

    def expand(self, problem: GemmProblem, config: AcceleratorConfig) -> Tiling:
        """The tiling of the product that makes the map; its rows come as they are asked for."""
        k_tiles, n_tiles = problem.tiles(config)
        return Tiling(
            block_rows=problem.m,
            gather=n_tiles,
            last_gather=n_tiles,
            result_banks=0,
            chunk_tiles=k_tiles * n_tiles,
            activations_resident=True,
            weights_resident=self.weights_resident,
            first_k=k_tiles,
        )


AnyTiling = Tiling | WindowTiling | DepthwiseTiling | FusedTiling
