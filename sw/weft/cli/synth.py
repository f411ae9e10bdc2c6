"""``weft synth``: cells per block and logic depth, from open synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from weft.cli.output import find_preset, print_json, print_table, progress

if TYPE_CHECKING:
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
        "", help="Place and route as well: ecp5, on an LFE5UM5G-85F (portable cells)."
    ),
    output: Path = typer.Option(
        Path("build/synth"), "-o", "--output", help="Folder for Verilog, logs and kept netlists."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Count the cells that Yosys maps a preset to, block by block, and each block's LUT levels.

    Exit code 4 where the counts exceed the board; the sentence says what by how much.
    """
    from weft.errors import Unsupported, UsageError
    from weft.synth import chip_of, misfits, synthesise, where
    from weft_hw.boards import BOARDS
    from weft_hw.target import check_target

    config = find_preset(preset)
    if change:
        config = _changed(config, change)
    if board and board not in BOARDS:
        raise UsageError(f"unknown board {board!r}", f"name one of {', '.join(BOARDS)}")
    if pnr not in ("", "ecp5"):
        raise UsageError(f"--pnr must be ecp5, not {pnr!r}", "leave it out to count cells only")
    place = BOARDS.get(board or config.name)
    chip = place.target if place else chip_of(config)
    try:
        check_target(target or chip)
    except ValueError as error:
        raise UsageError(str(error), "name one of them") from None
    with progress(f"synthesising {config.name} (minutes, where blocks changed)"):
        report = synthesise(config, output, chip=chip, target=target)
    total = report.total
    route = None
    if pnr:
        from weft.synth.route import route_ecp5

        with progress(f"placing and routing {config.name} on an LFE5UM5G-85F (minutes)"):
            route = route_ecp5(config, output)
    levels = {path.block: path for path in report.paths}
    sentence = where(total, place, "" if change else config.name) if place else ""
    if json:
        results = []
        for counts in report.counts:
            entry = counts.as_dict() | {"target": report.target, "family": report.chip}
            if counts.name in levels:
                entry["path"] = levels[counts.name].as_dict()
            if counts is total and place:
                entry |= {"board": place.name, "fits": not misfits(total, place), "fit": sentence}
            if counts is total and route:
                entry["route"] = route.as_dict()
            results.append(entry)
        print_json("synth", results, config=config)
    else:
        print_table(
            f"{config.name} (config {config.hash}), {report.target} cells, mapped by yosys "
            f"synth_xilinx -family {report.chip}",
            ("block, with what it contains", "times", "LUT", "of LUT memory", "FF", "carry", "DSP",
             "BRAM36", "URAM", "LUT levels"),
            [
                (
                    c.name.removeprefix("weft_top.core."), c.instances, c.lut, c.lut_memory, c.ff,
                    c.carry, c.dsp, f"{c.bram36:g}", c.uram,
                    levels[c.name].levels if c.name in levels else "",
                )
                for c in report.counts
            ],
        )
        for path in report.paths[:5]:
            print(f"{path.levels} LUT levels, {path.carries} carries: {path.begin} -> {path.end}")
        if sentence:
            print(sentence)
        if route:
            print(route.sentence)
    if place and misfits(total, place):
        raise Unsupported(sentence, "take another board or a smaller configuration")


def _changed(config: AcceleratorConfig, changes: list[str]) -> AcceleratorConfig:
    """`config` with ``K=V`` settings; the name says what differs."""
    from weft.errors import UsageError
    from weft_hw.config import ConfigError

    settings: dict[str, int | str] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set takes K=V, not {change!r}", "for example --set rows=32")
        settings[name] = int(value) if value.lstrip("-").isdigit() else value
    try:
        return config.replace(**settings)
    except (ConfigError, TypeError) as error:
        raise UsageError(str(error), "see weft presets") from None
