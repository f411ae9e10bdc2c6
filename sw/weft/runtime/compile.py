"""``weft.compile``: from a torch model to one that runs on an accelerator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.artefact import Artefact, HostStep, Port, ProgramStep
from weft.compiler.frontend.export import check_inputs, export_model
from weft.compiler.frontend.read import read_network
from weft.compiler.graph.network import Network, Operator
from weft.compiler.graph.partition import Segment, partition, why_on_host
from weft.compiler.graph.passes.drop_repeats import drop_repeats
from weft.compiler.graph.passes.fold_addresses import fold_pads, fold_reshapes
from weft.compiler.graph.passes.fuse import fuse
from weft.compiler.graph.passes.fuse_tables import fuse_tables
from weft.compiler.lower.nodes import problem_of
from weft.compiler.lower.program import compile_graph, scheduled
from weft.compiler.quantise.integers import IntegerSegment, integer_segment
from weft.compiler.quantise.pt2e import examples_of, has_quantisation, quantise_exported
from weft.dram import MemoryModel, memory_of
from weft.errors import Unsupported, UsageError
from weft.files.untrusted import safe_name
from weft.host.run import is_known, needs_torch
from weft.verify import verify
from weft_hw.config import AcceleratorConfig, preset
from weft_hw.platform import Platform

from .compiled import CompiledModel

__all__ = ["OperatorReport", "compile_model"]

#: Told what is being done: (how many steps are finished, what comes next).
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class OperatorReport:
    """One operator of a model.

    where : "accelerator" or "host". why : in words. fused : layers that are part of it. macs :
    multiply-accumulates that are needed. The rest is of the accelerator, and null on the host:
    predicted_cycles alone on the chip, roofline_cycles that nothing can beat, bytes read and
    written at least, bound : "compute" or "memory", which of them the roofline is.
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


def _platform(given: str | AcceleratorConfig | Platform) -> tuple[AcceleratorConfig, MemoryModel]:
    if isinstance(given, Platform):
        return given.config, MemoryModel.of(given)
    config = preset(given) if isinstance(given, str) else given
    return config, memory_of(config)


def compile_model(
    model: Any,
    example_inputs: Any = None,
    *,
    calibration: Iterable[Any] | None = None,
    platform: str | AcceleratorConfig | Platform = "pynq-z2",
    keep_float: Sequence[str] = (),
    host_torch: bool = True,
    progress: Progress = lambda done, text: None,
) -> CompiledModel:
    """Compile `model` for the accelerator of `platform`.

    Parameters
    ----------
    model : torch.nn.Module in eval mode, or a torch.export.ExportedProgram, quantised by PT2E or
        not
    example_inputs : float32 tensors [B, ...], or one of them; a quantised program needs none.
    calibration : batches of inputs, typical ones; each a tensor, or a tuple of which what follows
        the inputs (labels) is left out. `example_inputs` by default, which is refused for a batch
        of one.
    platform : name of a preset, configuration, or Platform
    keep_float : names or patterns of layers that are not quantised, and run on the host
    host_torch : whether operators that only torch computes may run on the host
    progress : called with the number of steps that are finished, and what comes next

    Returns
    -------
    CompiledModel
        It is called like the model.

    Raises
    ------
    UsageError
        The model is in train mode; an input is empty or not finite; there is nothing to calibrate
        on; a pattern of `keep_float` names no layer.
    Unsupported
        torch.export cannot follow the model, or an operator runs neither on the accelerator nor by
        what is on the published lists of the host.
    """
    config, memory = _platform(platform)
    progress(0, "exporting the model")
    exported = export_model(model, () if example_inputs is None else example_inputs)
    if has_quantisation(exported):
        if keep_float:
            raise UsageError("keep_float: the model is quantised already", "quantise it otherwise")
        module = exported.module()
    else:
        batches = [example_inputs] if calibration is None else calibration
        count = len(exported.graph_signature.user_inputs)
        if calibration is None:
            given = check_inputs("example inputs", () if example_inputs is None else example_inputs)
            if len(given[0]) < 2:
                raise UsageError(
                    "quantisation needs calibration data, one example is none",
                    "give calibration=batches of typical inputs",
                )
        module = quantise_exported(
            exported,
            examples_of(batches, count),
            keep_float,
            lambda n: progress(1, f"calibrating, {n} examples"),
        )
    return compile_network(
        read_network(module), config, memory, host_torch=host_torch, progress=progress
    )


def compile_network(
    network: Network,
    config: AcceleratorConfig,
    memory: MemoryModel,
    *,
    host_torch: bool = True,
    progress: Progress = lambda done, text: None,
) -> CompiledModel:
    """Compile what a model says, in which reals that become int8 are marked; as `compile_model`."""
    network = fold_reshapes(fold_pads(drop_repeats(network)))
    refused: dict[str, str] = {}
    while True:
        fused, reasons = fuse(network, refused)
        fused = fuse_tables(fused)
        segments = partition(fused)
        found = _refusals(fused, segments, config, memory, progress)
        if not found.keys() - refused.keys():
            break
        refused |= found
    _check_host(fused, host_torch)
    steps: list[HostStep | ProgramStep] = []
    graphs = []
    reports: dict[str, OperatorReport] = {}
    for segment in segments:
        if not segment.on_chip:
            steps += [_host_step(fused, op) for op in segment.operators]
            continue
        lowered = integer_segment(fused, segment.operators, segment.outputs)
        progress(1, f"compiling a program of {len(segment.operators)} operators")
        program = compile_graph(lowered.graph, config, memory)
        verify(program)
        graphs.append(lowered.graph)
        steps.append(ProgramStep(program, lowered.inputs, lowered.outputs, lowered.borders))
        reports |= _chip_reports(fused, segment, lowered, config, memory)
    for op in fused.operators:
        if not op.on_chip:
            reports[op.name] = _host_report(fused, op, reasons | refused)
    ports = _ports(fused)
    artefact = Artefact(tuple(steps), *ports, metadata=_metadata(reports))
    return CompiledModel(artefact, graphs, [reports[op.name] for op in fused.operators])


def _refusals(
    network: Network,
    segments: Sequence[Segment],
    config: AcceleratorConfig,
    memory: MemoryModel,
    progress: Progress,
) -> dict[str, str]:
    """Operators on chip that do not fit this accelerator -> why."""
    found = {}
    for segment in (s for s in segments if s.on_chip):
        for op in segment.operators:
            try:
                alone = integer_segment(network, [op], (op.output,))
                inside = alone.graph.nodes[0]
                progress(1, f"scheduling {op.name}")
                scheduled(config, problem_of(alone.graph, inside), memory)
            except Unsupported as error:
                found[op.name] = error.message
    return found


def _check_host(network: Network, host_torch: bool) -> None:
    host = [op for op in network.operators if not op.on_chip]
    unknown = [op for op in host if not is_known(op.op)]
    if unknown:
        names = ", ".join(dict.fromkeys(op.op for op in unknown))
        raise Unsupported(
            f"operator {unknown[0].name} ({names}) is on no list of what runs on the host",
            "replace it in the model",
        )
    by_torch = [op for op in host if needs_torch(op.op)]
    if by_torch and not host_torch:
        names = ", ".join(f"{op.name} ({op.op})" for op in by_torch)
        raise Unsupported(
            f"these operators need torch on the host: {names}",
            "replace them in the model, or allow torch",
        )


def _host_step(network: Network, op: Operator) -> HostStep:
    attributes = dict(op.attributes)
    if op.op == "quantise":
        scale = network.values[op.output].scale
        assert scale is not None
        attributes = {
            "step": scale.step, "zero_point": scale.zero_point, "low": scale.low, "high": scale.high
        }  # fmt: skip
    elif op.op == "dequantise":
        scale = network.values[op.inputs[0]].scale
        assert scale is not None
        shape = list(network.values[op.output].shape)
        attributes = {"step": scale.step, "zero_point": scale.zero_point, "shape": shape}
    constants = {name: c for name, c in op.constants.items() if name not in ("integers", "steps")}
    constants = {
        name: c.astype(np.float32) if c.dtype == np.float64 else c for name, c in constants.items()
    }
    return HostStep(op.name, op.op, op.inputs, op.output, attributes, constants)


def _ports(network: Network) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    def port(name: str, used: set[str]) -> Port:
        origin = network.producers.get(name)
        while origin is not None and origin.op in ("quantise", "dequantise"):
            inner = network.producers.get(origin.inputs[0])
            origin = inner if inner is not None else None
        own = safe_name(origin.name if origin is not None else name)
        count, shown = 2, own
        while shown in used:
            shown, count = f"{own}.{count}", count + 1
        used.add(shown)
        return Port(shown, name, network.values[name].shape)

    used: set[str] = set()
    inputs = tuple(port(name, used) for name in network.inputs)
    outputs = tuple(port(name, used) for name in network.outputs)
    return inputs, outputs


def _chip_reports(
    network: Network,
    segment: Segment,
    lowered: IntegerSegment,
    config: AcceleratorConfig,
    memory: MemoryModel,
) -> dict[str, OperatorReport]:
    found = {}
    for op, node in zip(segment.operators, lowered.graph.nodes):
        problem = problem_of(lowered.graph, node)
        schedule = scheduled(config, problem, memory)
        roofline = problem.roofline(config, memory)
        compute = problem.macs / (config.rows * config.cols)
        found[op.name] = OperatorReport(
            name=op.name,
            op=op.op,
            where="accelerator",
            why=_why_on_chip(op),
            fused=list(op.attributes.get("fused", ())),
            input_shape=list(network.values[op.inputs[0]].shape),
            output_shape=list(network.values[op.output].shape),
            macs=problem.macs,
            predicted_cycles=int(schedule.prediction.cycles),
            roofline_cycles=roofline,
            bytes_read=problem.bytes_read,
            bytes_written=problem.bytes_written,
            bound="compute" if compute >= roofline * (1 - 1e-9) and problem.macs else "memory",
        )
    return found


_ON_CHIP = {
    "conv2d": "int8 convolution",
    "depthwise": "int8 convolution of each channel, a diagonal of the array at a time",
    "avg_pool": "sums by the array, divided when they are rounded",
    "max_pool": "maxima in the accumulators",
    "add": "a residual behind the array",
    "rescale": "rounded anew to another scale",
    "table": "looked up behind the array",
}


def _why_on_chip(op: Operator) -> str:
    text = _ON_CHIP[op.op]
    return "int8 product" if op.attributes.get("flattened") else text


def _host_report(network: Network, op: Operator, reasons: dict[str, str]) -> OperatorReport:
    return OperatorReport(
        name=op.name,
        op=op.op,
        where="host",
        why=why_on_host(network, op, reasons),
        fused=[],
        input_shape=list(network.values[op.inputs[0]].shape) if op.inputs else [],
        output_shape=list(network.values[op.output].shape),
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


def _metadata(reports: dict[str, OperatorReport]) -> dict[str, Any]:
    chip = [r for r in reports.values() if r.where == "accelerator"]
    total = sum(r.macs for r in reports.values())
    return {
        "macs": total,
        "macs_on_chip": sum(r.macs for r in chip),
        "operators": len(reports),
        "operators_on_chip": len(chip),
    }
