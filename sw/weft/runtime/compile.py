"""``weft.compile``: from a torch model to one that runs on an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.artefact import Artefact, HostStep, Port, ProgramStep
from weft.compiler.frontend.export import check_inputs, export_model
from weft.compiler.frontend.names import Names
from weft.compiler.frontend.read import read_network
from weft.compiler.graph.network import BORDERS, Network, Operator
from weft.compiler.graph.partition import Segment, partition
from weft.compiler.graph.passes.drop_repeats import drop_repeats
from weft.compiler.graph.passes.fold_addresses import fold_pads, fold_reshapes
from weft.compiler.graph.passes.fuse import fuse
from weft.compiler.graph.passes.fuse_tables import fuse_tables
from weft.compiler.lower.choose import scheduled
from weft.compiler.lower.nodes import problem_of
from weft.compiler.lower.program import compile_graph
from weft.compiler.quantise.integers import IntegerSegment, integer_segment
from weft.compiler.quantise.pt2e import examples_of, has_quantisation, quantise_exported
from weft.dram import MemoryModel, memory_of
from weft.errors import Unsupported, UsageError
from weft.files.untrusted import safe_name
from weft.host.run import is_known, needs_torch
from weft.verify import verify
from weft_hw.config import AcceleratorConfig, ConfigError, preset
from weft_hw.platform import Platform

from .compiled import CompiledModel
from .reports import OperatorReport, chip_reports, host_report

__all__ = [
    "Planned", "build", "compile_model", "plan_network", "platform_of", "quantised_network"
]

#: Told what is being done: (how many steps are finished, what comes next).
Progress = Callable[[int, str], None]


def platform_of(
    given: str | AcceleratorConfig | Platform,
) -> tuple[AcceleratorConfig, MemoryModel]:
    """(configuration, its memory) of a preset's name, a configuration, or a platform."""
    if isinstance(given, Platform):
        return given.config, MemoryModel.of(given)
    try:
        config = preset(given) if isinstance(given, str) else given
    except ConfigError as error:
        raise UsageError(str(error), "see weft presets") from None
    return config, memory_of(config)


def quantised_network(
    model: Any,
    example_inputs: Any = None,
    *,
    calibration: Iterable[Any] | None = None,
    keep_float: Sequence[str] = (),
    rough: bool = False,
    progress: Progress = lambda done, text: None,
) -> tuple[Network, Any]:
    """What `model` says, quantised, and its float graph: parameters and errors as `compile_model`.

    The float graph is None where the model was quantised before. `rough` takes the ranges of the
    data as they are, which is enough to know what runs where.
    """
    progress(0, "exporting the model")
    exported = export_model(model, () if example_inputs is None else example_inputs)
    if has_quantisation(exported):
        if keep_float:
            raise UsageError("keep_float: the model is quantised already", "quantise it otherwise")
        return read_network(exported.module()), None
    batches = [example_inputs] if calibration is None else calibration
    count = len(exported.graph_signature.user_inputs)
    if calibration is None:
        given = check_inputs("example inputs", () if example_inputs is None else example_inputs)
        if len(given[0]) < 2:
            raise UsageError(
                "quantisation needs calibration data, one example is none",
                "give calibration=batches of typical inputs",
            )
    module, floats = quantise_exported(
        exported,
        examples_of(batches, count),
        keep_float,
        lambda n: progress(1, f"calibrating, {n} examples"),
        rough,
    )
    return read_network(module), floats


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
    found = platform_of(platform)
    network, _ = quantised_network(
        model,
        example_inputs,
        calibration=calibration,
        keep_float=keep_float,
        progress=progress,
    )
    return build(plan_network(network, *found, host_torch=host_torch, progress=progress), progress)


@dataclass(frozen=True, eq=False)
class Planned:
    """A model whose operators have their places and schedules, before programs are written.

    network : with what runs on chip. segments : in the order in which they run, with the integer
    graph of each that is on chip. reports : of all operators, in order.
    """

    config: AcceleratorConfig
    memory: MemoryModel
    network: Network
    segments: tuple[tuple[Segment, IntegerSegment | None], ...]
    reports: tuple[OperatorReport, ...]


def plan_network(
    network: Network,
    config: AcceleratorConfig,
    memory: MemoryModel,
    *,
    host_torch: bool = True,
    progress: Progress = lambda done, text: None,
) -> Planned:
    """Decide where each operator of a quantised network runs, and how; as :func:`compile_model`."""
    network = fold_reshapes(fold_pads(drop_repeats(network)))
    refused: dict[str, str] = {}
    while True:
        fused, reasons = fuse(network, refused)
        fused = fuse_tables(fused)
        found = _refusals(fused, config, memory, progress)
        if not found.keys() - refused.keys():
            break
        refused |= found
    _check_host(fused, host_torch)
    segments: list[tuple[Segment, IntegerSegment | None]] = []
    reports: dict[str, OperatorReport] = {}
    for segment in partition(fused):
        lowered = None
        if segment.on_chip:
            lowered = integer_segment(fused, segment.operators, segment.outputs)
            reports |= chip_reports(fused, segment, lowered, config, memory)
        segments.append((segment, lowered))
    for op in fused.operators:
        if not op.on_chip:
            reports[op.name] = host_report(fused, op, reasons | refused)
    order = tuple(reports[op.name] for op in fused.operators)
    return Planned(config, memory, fused, tuple(segments), order)


def build(
    planned: Planned, progress: Progress = lambda done, text: None
) -> CompiledModel:
    """Write the programs of a planned model, and verify them.

    Raises
    ------
    Unsupported
        A program needs a larger arena than can be addressed.
    """
    steps: list[HostStep | ProgramStep] = []
    graphs = []
    for segment, lowered in planned.segments:
        if lowered is None:
            steps += [_host_step(planned.network, op) for op in segment.operators]
            continue
        progress(1, f"writing a program of {len(segment.operators)} operators")
        program = compile_graph(lowered.graph, planned.config, planned.memory)
        progress(1, f"verifying {len(program.instructions):,} instructions")
        verify(program)
        graphs.append(lowered.graph)
        steps.append(ProgramStep(program, lowered.inputs, lowered.outputs, lowered.borders))
    ports = _ports(planned.network)
    artefact = Artefact(tuple(steps), *ports, metadata=_metadata(planned.reports))
    return CompiledModel(artefact, graphs, planned.reports)


def _refusals(
    network: Network,
    config: AcceleratorConfig,
    memory: MemoryModel,
    progress: Progress,
) -> dict[str, str]:
    """Operators on chip that do not fit this accelerator -> why."""
    found = {}
    for op in (op for op in network.operators if op.on_chip and op.op != "concat"):
        try:
            alone = integer_segment(network, [op], (op.output,))
            progress(1, f"scheduling {op.name}")
            scheduled(config, problem_of(alone.graph, alone.graph.nodes[0]), memory)
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
    def port(name: str) -> Port:
        origin = network.producers.get(name)
        while origin is not None and origin.op in BORDERS:
            origin = network.producers.get(origin.inputs[0])
        own = safe_name(origin.name if origin is not None else name)
        return Port(names.unique(own), name, network.values[name].shape)

    names = Names()
    inputs = tuple(map(port, network.inputs))
    return inputs, tuple(map(port, network.outputs))


def _metadata(reports: Sequence[OperatorReport]) -> dict[str, Any]:
    chip = [r for r in reports if r.where == "accelerator"]
    total = sum(r.macs for r in reports)
    work = [r for r in reports if r.op not in BORDERS]
    return {
        "macs": total,
        "macs_on_chip": sum(r.macs for r in chip),
        "operators": len(work),
        "operators_on_chip": len(chip),
    }
