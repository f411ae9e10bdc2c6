"""What is said of each operator of a compiled model: where it runs, why, what it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.compiler.graph.network import Network, Operator
from weft.compiler.graph.partition import Segment, why_on_host
from weft.compiler.lower.choose import Chosen, choose
from weft.compiler.lower.nodes import problem_of
from weft.compiler.quantise.integers import IntegerSegment
from weft.dram import MemoryModel, roofline_cycles
from weft_hw.config import AcceleratorConfig

__all__ = ["OperatorReport", "chip_reports", "host_report"]


@dataclass(frozen=True)
class OperatorReport:
    """One operator of a model.

    where : "accelerator" or "host". unit : which unit of the accelerator, and whether the operator
    is fused with its neighbours: then the figures of all are the last one's. why : in words.
    fused : layers that are part of it. macs : multiply-accumulates that are needed. The rest is of
    the accelerator, and null on the host and for all but the last one of those that are fused:
    predicted_cycles alone on the chip, or at once, roofline_cycles that nothing can beat, bytes
    read and written at least, bound : "compute" or "memory", which of them the roofline is.
    """

    name: str
    op: str
    where: str
    why: str
    fused: list[str]
    input_shape: list[int]
    output_shape: list[int]
    macs: int
    predicted_cycles: int | None = None
    roofline_cycles: float | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    bound: str | None = None
    unit: str | None = None

    @property
    def attainment(self) -> float | None:
        """Roofline over predicted cycles; None on the host."""
        if self.predicted_cycles is None or self.roofline_cycles is None:
            return None
        return self.roofline_cycles / self.predicted_cycles


def chip_reports(
    network: Network,
    segment: Segment,
    lowered: IntegerSegment,
    config: AcceleratorConfig,
    memory: MemoryModel,
) -> dict[str, OperatorReport]:
    """Name -> report of the operators of a program."""
    found = {}
    graph = lowered.graph
    nodes = {node.name: node for node in graph.nodes}
    done = [node for node in graph.nodes if node.op != "concat"]
    problems = [problem_of(graph, node) for node in done]
    how = dict(zip((n.name for n in done), choose(graph, done, problems, config, memory)))
    for op in segment.operators:
        node, shapes = nodes[op.name], _shapes(network, op)
        if op.op == "concat":
            found[op.name] = OperatorReport(
                op.name, op.op, "accelerator", _why_on_chip(op), [], *shapes, macs=0
            )
            continue
        problem, chosen = problem_of(graph, node), how[op.name]
        # What is fused is reported with the later one of the two.
        bounds: dict[str, Any] = {}
        if (whole := chosen.problem) is not None and chosen.prediction is not None:
            moved = roofline_cycles(config, memory, 0, whole.bytes_read, whole.bytes_written)
            roofline = whole.roofline(config, memory)
            bounds = {
                "predicted_cycles": chosen.prediction.cycles,
                "roofline_cycles": roofline,
                "bytes_read": whole.bytes_read,
                "bytes_written": whole.bytes_written,
                "bound": "memory" if moved >= roofline else "compute",
            }
        found[op.name] = OperatorReport(
            name=op.name,
            op=op.op,
            where="accelerator",
            why=_why_on_chip(op, chosen),
            fused=list(op.attributes.get("fused", ())),
            input_shape=shapes[0],
            output_shape=shapes[1],
            macs=problem.macs,
            unit=chosen.unit,
            **bounds,
        )
    return found


def _shapes(network: Network, op: Operator) -> tuple[list[int], list[int]]:
    """Of the first input, and of the output."""
    first = list(network.values[op.inputs[0]].shape) if op.inputs else []
    return first, list(network.values[op.output].shape)


_ON_CHIP = {
    "conv2d": "int8 convolution",
    "depthwise": "int8, a diagonal of the array at a time",
    "avg_pool": "sums of the array, divided as they are rounded",
    "max_pool": "maxima in the accumulators",
    "add": "a residual behind the array",
    "rescale": "rounded anew to another scale",
    "concat": "addresses: parts are computed where they lie",
    "table": "looked up behind the array",
}


def _why_on_chip(op: Operator, chosen: Chosen | None = None) -> str:
    text = _ON_CHIP[op.op]
    if chosen is not None and chosen.unit.startswith("depthwise"):
        text = "int8, taps of the depthwise engine"
    return "int8 product" if op.attributes.get("flattened") else text


def host_report(network: Network, op: Operator, reasons: Mapping[str, str]) -> OperatorReport:
    """The report of an operator that runs on the host; `reasons` are those of the passes."""
    return OperatorReport(
        name=op.name,
        op=op.op,
        where="host",
        why=why_on_host(network, op, reasons),
        fused=[],
        input_shape=_shapes(network, op)[0],
        output_shape=_shapes(network, op)[1],
        macs=_macs(network, op),
    )


def _macs(network: Network, op: Operator) -> int:
    """Multiply-accumulates of a product on the host."""
    if op.op not in ("conv2d", "linear"):
        return 0
    weights = op.constants["weights"]
    out = network.values[op.output].shape
    pixels = math.prod(out) // weights.shape[0]
    return int(pixels * weights.size)
