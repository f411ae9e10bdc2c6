"""From layers and their tilings to a plan: addresses, sizes and who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.compiler.graph.windowed import WindowProblem
from weft.errors import Unsupported
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Space

from .chip import Chip, Ring
from .place_depthwise import DepthwisePlacer
from .place_fused import FusedPlacer
from .place_matmul import MatmulPlacer
from .place_windows import WindowPlacer
from .plan import Layer, Load, Plan, Store, Written
from .tiling import DepthwiseTiling, FusedTiling, WindowTiling

__all__ = ["Copy", "place_layers"]


@dataclass(frozen=True)
class Copy:
    """`bytes` bytes from `source`, where `tensor` lies, to `target` in the arena."""

    tensor: str
    source: int
    target: int
    bytes: int


def _copy(plan: Plan, chip: Chip, written: Written, copy: Copy) -> None:
    """Append the transfers of `copy`, through as much of the scratchpad as it takes."""
    room = plan.config.scratchpad_bytes
    ring, last = Ring("scratchpad", 0, room, chip.scratchpad), len(plan.layers) - 1
    stored = max((index for _, _, index in written.get(copy.tensor, [])), default=-1)
    for at in range(0, copy.bytes, room):
        size = min(room, copy.bytes - at)
        place, step, store = ring.take(size)
        load = Load(
            layer=last,
            space=Space.SCRATCHPAD,
            dram=copy.source + at,
            bytes=size,
            chip=place.start,
            after_step=step,
            after_store=max(store, stored),
        )
        plan.loads.append(load)
        place.store = len(plan.stores)
        plan.stores.append(
            Store(
                layer=last,
                dram=copy.target + at,
                bytes=size,
                chip=place.start,
                after_load=len(plan.loads) - 1,
            )
        )


def place_layers(
    config: AcceleratorConfig, layers: Sequence[Layer], copies: Sequence[Copy] = ()
) -> Plan:
    """Loads, steps and stores of `layers`, which run in this order, and then of `copies`.

    A layer's loads wait for what earlier layers still need of the chip, and for the rows that they
    store of its input; everything else overlaps.

    Raises
    ------
    Unsupported
        A tiling does not fit the memories of `config`.
    """
    plan, chip = Plan(config, list(layers)), Chip(config)
    written: Written = {}
    for index, layer in enumerate(layers):
        if isinstance(layer.tiling, FusedTiling):
            # The pair is placed with its first layer.
            if isinstance(layer.problem, WindowProblem):
                FusedPlacer(plan, index, chip, written).build()
            continue
        if isinstance(layer.tiling, DepthwiseTiling):
            DepthwisePlacer(plan, index, chip, written).build()
            continue
        if isinstance(layer.tiling, WindowTiling):
            WindowPlacer(plan, index, chip, written).build()
            continue
        if layer.tiling.block_rows > config.accumulator_rows:
            raise Unsupported(
                f"a block of {layer.tiling.block_rows} rows needs as many accumulator rows, "
                f"there are {config.accumulator_rows}"
            )
        MatmulPlacer(plan, index, chip, written).build()
    for copy in copies:
        _copy(plan, chip, written, copy)
    return plan
