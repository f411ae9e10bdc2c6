"""A program `vivado` for tests: takes a batch script, checks each command, writes reports.

The reports, in the folder vivado, have the layout of Vivado 2023.1; their numbers are made up. It
ends with an error where a command, an option or a file is not what Vivado has, or where commands
stand in the wrong order.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

__all__ = ["REPORTS", "install"]

REPORTS = Path(__file__).parent / "vivado"

#: Options that take a value, and those that do not, of the commands that a script may hold.
_COMMANDS = {
    "read_verilog": ((), ()),
    "read_xdc": (("-mode",), ()),
    "synth_design": (("-top", "-part", "-mode"), ()),
    "opt_design": ((), ()),
    "place_design": ((), ()),
    "phys_opt_design": ((), ()),
    "route_design": ((), ()),
    "report_utilization": (("-file",), ("-hierarchical",)),
    "report_timing_summary": (("-delay_type", "-max_paths", "-file"), ()),
}


def install(folder: Path) -> Path:
    """Write the program to `folder`, which then belongs on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "vivado"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    program.chmod(0o755)
    return program


def command(line: str) -> tuple[str, dict[str, str], list[str]]:
    """Name, options and operands of a command without substitutions."""
    assert not re.search(r"[$\[\]{};]", line), f"not a plain command: {line}"
    name, *words = shlex.split(line)
    assert name in _COMMANDS, f"invalid command name {name!r}"
    valued, plain = _COMMANDS[name]
    options, operands = {}, []
    while words:
        word = words.pop(0)
        if word in valued:
            options[word] = words.pop(0)
        elif word in plain:
            options[word] = ""
        else:
            assert not word.startswith("-"), f"{name}: unknown option {word}"
            operands.append(word)
    return name, options, operands


def main(arguments: list[str]) -> None:
    """Run the script of ``-source`` in the working folder."""
    assert arguments[arguments.index("-mode") + 1] == "batch"
    script = Path(arguments[arguments.index("-source") + 1])
    done = []
    for line in script.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, options, operands = command(line)
        if name in ("read_verilog", "read_xdc"):
            assert operands and all(Path(path).is_file() for path in operands), f"{name}: no file"
        if name == "read_xdc":
            clock = r"create_clock -name clk -period [\d.]+ \[get_ports clk\]\n"
            assert re.fullmatch(clock, Path(operands[0]).read_text()), "not a clock"
        if name == "synth_design":
            assert options["-mode"] == "out_of_context"
            assert f"module {options['-top']}" in Path("weft_top.v").read_text().replace("\\", "")
            assert re.fullmatch(r"xc\w+-\w+(-\w+)?", options["-part"])
        if name.startswith("report_"):
            assert "route_design" in done, "reports of a design that is not routed"
            report = "utilization.rpt" if name == "report_utilization" else "timing.rpt"
            Path(options["-file"]).write_bytes((REPORTS / report).read_bytes())
        done.append(name)
    order = [name for name in _COMMANDS if name in done]
    assert done == order, f"order {done}"
    with Path(os.environ["STUB_RUNS"]).open("a") as runs:
        runs.write(str(Path.cwd()) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AssertionError as error:
        print(f"ERROR: {error}")
        sys.exit(1)
