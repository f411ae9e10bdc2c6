"""``weft synth``: cells per block, logic depth, and clock rates, from open or vendor tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .files import make_folder
from .output import find_preset, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.synth import Report
    from weft.synth.flows import Route
    from weft_hw.boards import Board
    from weft_hw.config import AcceleratorConfig

__all__ = ["command"]


def command(
    preset: str = typer.Argument(help="Name of a preset; see weft presets."),
    change: list[str] = typer.Option(
        [], "--set", metavar="K=V", help="A parameter that differs from the preset; repeatable."
    ),
    board: str = typer.Option("", help="Board whose totals count; that of the preset by default."),
    target: str = typer.Option(
        "", help="Form of the cells: portable, xc7, xcup, xcup-uram; the board's by default."
    ),
    pnr: str = typer.Option(
        "",
        help="Place and route as well: ecp5, on an LFE5UM5G-85F (portable cells); vivado, on the "
        "board's part, where Vivado is on PATH; open, on an xc7z020, with nextpnr.",
    ),
    block: list[str] = typer.Option(
        [],
        "--block",
        metavar="NAME",
        help="With --pnr ecp5: a block by itself between registers, like compute.array, instead of "
        "the whole; all for each main block; repeatable.",
    ),
    output: Path = typer.Option(
        Path("build/synth"), "-o", "--output", help="Folder for Verilog, logs and kept netlists."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Count the cells that Yosys maps a preset to, block by block, and each block's LUT levels.

    Exit code 4 where the counts exceed the board; the sentence, "fit" in the JSON object, says what
    by how much.
    """
    from weft.errors import Unsupported, UsageError
    from weft.synth import misfits, synthesise, where
    from weft.synth.flows import FLOWS, Job, flow
    from weft_hw.boards import board_named
    from weft_hw.platform import default_board
    from weft_hw.target import check_target

    config = find_preset(preset)
    if change:
        config = _changed(config, change)
    try:
        place = board_named(board) if board else default_board(config)
        check_target(target or place.chip.target)
    except ValueError as error:
        raise UsageError(str(error), "name one of them") from None
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
    sentence = where(report.total, place, "" if change else config.name)
    if json:
        print_json("synth", _results(report, place, sentence, routes), config=config)
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


def _results(
    report: Report, place: Board, sentence: str, routes: list[Route]
) -> list[dict[str, Any]]:
    """A result per block; what was routed is part of its block's."""
    from weft.synth import misfits

    levels = {path.block: path for path in report.paths}
    routed = {route.module: route for route in routes}
    results = []
    for counts in report.counts:
        entry = counts.as_dict() | {"target": report.target, "family": report.chip}
        if counts.name in levels:
            entry["path"] = levels[counts.name].as_dict()
        if counts is report.total:
            misfit = misfits(counts, place)
            entry |= {"board": place.name, "fits": not misfit, "fit": sentence}
        if counts.name in routed:
            entry["route"] = routed[counts.name].as_dict()
        results.append(entry)
    return results


def _print(
    config: AcceleratorConfig, report: Report, sentence: str, routes: list[Route]
) -> None:
    """Tables for people."""
    from weft.synth.flows import CORE

    levels = {path.block: path for path in report.paths}
    print_table(
        f"{config.name} (config {config.hash}), {report.target} cells, mapped by yosys "
        f"synth_xilinx -family {report.chip}",
        ("block, with what it contains", "times", "LUT", "of LUT memory", "FF", "carry", "DSP",
         "BRAM36", "URAM", "LUT levels"),
        [
            (
                c.name.removeprefix(CORE), c.instances, c.lut, c.lut_memory, c.ff, c.carry, c.dsp,
                f"{c.bram36:g}", c.uram, levels[c.name].levels if c.name in levels else "",
            )
            for c in report.counts
        ],
    )
    for path in report.paths[:5]:
        print(f"{path.levels} LUT levels, {path.carries} carries: {path.begin} -> {path.end}")
    print(sentence)
    if len(routes) > 1:
        print_table(
            f"{config.name}, each block by itself on an {routes[0].part}",
            ("block", "MHz after routing", "from", "to"),
            [(r.block, f"{r.fmax_mhz:.1f}", r.begin, r.end) for r in routes],
        )
    else:
        for route in routes:
            print(route.sentence)


def _changed(config: AcceleratorConfig, changes: list[str]) -> AcceleratorConfig:
    """`config` with ``K=V`` settings."""
    from weft.errors import UsageError
    from weft_hw.config import ConfigError

    settings: dict[str, int | str] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise UsageError(f"--set takes K=V, not {change!r}", "for example --set rows=32")
        try:
            settings[name] = int(value)
        except ValueError:
            settings[name] = value
    try:
        return config.replace(**settings)
    except (ConfigError, TypeError) as error:
        raise UsageError(str(error), "see weft presets") from None
