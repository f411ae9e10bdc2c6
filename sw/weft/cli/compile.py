"""``weft compile``: a model to a file that runs on a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError
from weft.files.outputs import check_writable
from weft.results import Count

from .options import Data, Json, KeepFloat, Network, OutputFile, Preset, find_preset
from .output import print_json, progress

if TYPE_CHECKING:
    from weft.models.find import FoundModel
    from weft.runtime.compile import Planned
    from weft_hw.config import AcceleratorConfig

__all__ = ["Compiled", "command", "planned"]

Pixels = Annotated[
    str,
    typer.Option(
        "--pixels",
        metavar="MEAN,STD",
        help="What makes inputs of the pixels 0..255 of a picture: (pixel - MEAN) / STD.",
    ),
]


@dataclass(frozen=True)
class Compiled:
    """A model file. macs_on_chip : of macs. torch_operators : of the host, which need torch."""

    path: Path
    model: str
    operators: Count
    operators_on_chip: Count
    macs: Count
    macs_on_chip: Count
    programs: Count
    instructions: Count
    arena_bytes: Count
    predicted_cycles: Count
    torch_operators: list[str]


def planned(
    found: FoundModel,
    config: AcceleratorConfig,
    keep_float: list[str],
    host_torch: bool = True,
    rough: bool = False,
) -> Planned:
    """`found`, quantised, with a place for each operator; shows progress."""
    from weft.runtime.compile import plan_network, platform_of, quantised_network

    with progress(f"compiling {found.name}") as say:
        network, _ = quantised_network(
            found.model,
            found.inputs,
            calibration=found.calibration,
            keep_float=keep_float,
            rough=rough,
            progress=lambda done, text: say(0, text=text),
        )
        return plan_network(
            network,
            *platform_of(config),
            host_torch=host_torch,
            progress=lambda done, text: say(0, text=text),
        )


def command(
    model: Network,
    output: OutputFile,
    preset: Preset = "pynq-z2",
    keep_float: KeepFloat = [],
    data: Data = None,
    host_torch: Annotated[
        bool,
        typer.Option(
            "--host-torch/--no-host-torch",
            help="Whether operators that only torch computes may run on the host.",
        ),
    ] = True,
    pixels: Pixels = "",
    json: Json = False,
) -> None:
    """Compile MODEL to a file, which holds integers, scales and metadata only."""
    config = find_preset(preset)
    check_writable(output)
    scaling = _pixels(pixels)
    from weft.models.find import find_model
    from weft.runtime.compile import build

    found = find_model(model, data)
    plan = planned(found, config, keep_float, host_torch)
    with progress("writing programs") as say:
        compiled = build(plan, lambda done, text: say(0, text=text))
    own = list(found.pixels) if found.pixels else None
    compiled.artefact.described({"model": found.name, "pixels": scaling or own}).save(output)
    programs = compiled.programs
    about = compiled.artefact.metadata
    result = Compiled(
        path=output,
        model=found.name,
        operators=about["operators"],
        operators_on_chip=about["operators_on_chip"],
        macs=about["macs"],
        macs_on_chip=about["macs_on_chip"],
        programs=len(programs),
        instructions=sum(len(p.instructions) for p in programs),
        arena_bytes=max((p.arena_bytes for p in programs), default=0),
        predicted_cycles=sum(int(p.metadata["predicted_cycles"]) for p in programs),
        torch_operators=compiled.artefact.torch_operators,
    )
    if json:
        print_json("compile", [result], config=config)
        return
    share = result.macs_on_chip / result.macs if result.macs else 0.0
    note = f" ({found.note})" if found.note else ""
    print(
        f"{output}: {found.name}{note} for {config.name}, {result.operators_on_chip} of "
        f"{result.operators} operators and {share:.1%} of {result.macs:,} multiplications on the "
        f"accelerator, {result.programs} program(s), {result.predicted_cycles:,} cycles predicted"
    )
    if result.torch_operators:
        print(f"needs torch on the host: {', '.join(result.torch_operators)}")


def _pixels(text: str) -> list[float] | None:
    if not text:
        return None
    try:
        mean, std = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--pixels takes MEAN,STD, not {text!r}") from None
    if not std > 0 or mean != mean or abs(mean) == float("inf") or std == float("inf"):
        raise UsageError(f"--pixels needs a finite mean and a std above zero, not {text!r}")
    return [mean, std]
