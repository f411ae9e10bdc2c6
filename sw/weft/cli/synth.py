"""``weft synth``: cells per block, logic depth, and clock rates, from open or vendor tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.files.outputs import make_folder

from . import options
from .output import print_json, print_table, progress

if TYPE_CHECKING:
    from weft.synth import Report
    from weft.synth.flows import Route
    from weft_hw.config import AcceleratorConfig

__all__ = ["command"]


def command(
    preset: options.PresetName,
    changes: options.Changes = [],
    board: options.Board = "",
    target: options.Target = "",
    pnr: Annotated[
        str,
        typer.Option(
            help="Place and route as well: ecp5, on an LFE5UM5G-85F (portable cells); vivado, on "
            "the board's part, where Vivado is on PATH; open, on an xc7z020, with nextpnr."
        ),
    ] = "",
    block: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="With --pnr ecp5: a block by itself between registers, like compute.array, "
            "instead of the whole; all for each main block; repeatable.",
        ),
    ] = [],
    output: options.OutputFolder = Path("build/synth"),
    json: options.Json = False,
) -> None:
    """Count the cells that Yosys maps a preset to, block by block, each block's LUT levels, and
    the loads of the widest nets.

    Exit code 4 where the counts exceed the board; the sentence, "fit" in the JSON object, says what
    by how much.
    """
    from weft.errors import Unsupported, UsageError
    from weft.synth import misfits, synthesise, where
    from weft.synth.blocks import blocks_of
    from weft.synth.flows import FLOWS, Job, flow
    from weft_hw.boards import board_named
    from weft_hw.platform import default_board

    config = options.find_preset(preset, changes)
    try:
        place = board_named(board) if board else default_board(config)
    except ValueError as error:
        raise UsageError(str(error), "name one of them") from None
    options.known_target(target or place.chip.target)
    if pnr and pnr not in FLOWS:
        raise UsageError(
            f"--pnr must be {' or '.join(FLOWS)}, not {pnr!r}", "leave it out to count cells only"
        )
    if block and pnr != "ecp5":
        raise UsageError("--block goes with --pnr ecp5", "add --pnr ecp5, or leave --block out")
    make_folder(output)
    blocks = _blocks(block)
    if pnr:
        flow(pnr).check(Job(config, output, place, blocks))
    with progress(f"synthesising {config.name} (minutes, where blocks changed)"):
        report = synthesise(config, output, chip=place.chip.target, target=target)
    routes = []
    if pnr:
        with progress(f"placing and routing {config.name} (minutes)", len(blocks)) as advance:
            routes = flow(pnr).route(Job(config, output, place, blocks, advance))
    sentence = where(report.total, place, "" if changes else config.name)
    if json:
        print_json("synth", blocks_of(report, place, sentence, routes), config=config)
        if misfits(report.total, place):
            raise typer.Exit(Unsupported.exit_code)  # the one object says why
    else:
        _print(config, report, sentence, routes)
    if misfits(report.total, place):
        raise Unsupported(sentence, "take another board or a smaller configuration")


def _blocks(names: list[str]) -> tuple[str, ...]:
    """The blocks of ``--block``; the whole design where there is none."""
    from weft.synth.ecp5 import MAIN_BLOCKS
    from weft.synth.flows import WHOLE

    chosen = [b for name in names for b in (MAIN_BLOCKS if name == "all" else (name,))]
    return tuple(dict.fromkeys(chosen)) or (WHOLE,)


def _print(
    config: AcceleratorConfig, report: Report, sentence: str, routes: list[Route]
) -> None:
    """Tables for people."""
    from weft.synth.flows import CORE

    levels = {path.block: path for path in report.paths}
    print_table(
        f"{config.name} (config {config.hash}), {report.target} cells, mapped by yosys "
        f"synth_xilinx -family {report.chip}",
        report.counts,
        {
            "block, with what it contains": lambda c: c.name.removeprefix(CORE),
            "times": lambda c: c.instances,
            "LUT": lambda c: c.lut,
            "of LUT memory": lambda c: c.lut_memory,
            "FF": lambda c: c.ff,
            "carry": lambda c: c.carry,
            "DSP": lambda c: c.dsp,
            "BRAM36": lambda c: f"{c.bram36:g}",
            "URAM": lambda c: c.uram,
            "LUT levels": lambda c: levels[c.name].levels if c.name in levels else "",
        },
    )
    for path in report.paths[:5]:
        print(f"{path.levels} LUT levels, {path.carries} carries: {path.begin} -> {path.end}")
    print_table(
        f"{config.name}: the nets with most loads",
        report.nets,
        {
            "net": lambda n: n.name.removeprefix("core."),
            "driven in": lambda n: n.block.removeprefix(CORE),
            "loads": lambda n: n.loads,
            "enables": lambda n: n.enables,
            "resets": lambda n: n.resets,
        },
    )
    print(sentence)
    if len(routes) > 1:
        print_table(
            f"{config.name}, each block by itself on an {routes[0].part}",
            routes,
            {
                "block": lambda r: r.block,
                "MHz after routing": lambda r: f"{r.fmax_mhz:.1f}",
                "from": lambda r: r.begin,
                "to": lambda r: r.end,
            },
        )
    else:
        for route in routes:
            print(route.sentence)
