"""Writes the Verilog of a configuration, and a side file that describes it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from amaranth.back import verilog

from .config import AcceleratorConfig
from .isa import ISA_VERSION
from .registers import REGISTERS
from .top import Top

__all__ = ["TOP_NAME", "emit", "kept_apart", "text_of", "without_empty_wires", "write"]

TOP_NAME = "weft_top"
_WHICH = "AMARANTH_USE_YOSYS"
#: Initial values of a memory that are all zero, one statement a row.
_ZERO_MEMORY = re.compile(
    r"^  initial begin\n(?:    \S+ ?\[\d+\] = \d+'h0+;\n)+  end\n", re.MULTILINE
)
#: A declaration of a signal of no bits.
_EMPTY = re.compile(r"^  (?:wire|reg) \[-1:0\] (\S+) ?;\n", re.MULTILINE)
#: A module; a register of it that is to be kept; and what assigns a register.
_MODULE = re.compile(r"^module .*?^endmodule\n", re.MULTILINE | re.DOTALL)
_KEPT = re.compile(r'^  \(\* keep = "true" \*\)\n  reg (?:\[\d+:\d+\] )?(\S+)', re.MULTILINE)
_REGISTER = re.compile(r"^(?=  always @\(posedge clk\)\n    (\S+)\s*<= )", re.MULTILINE)


def text_of(component: Any, name: str, **options: Any) -> str:
    """Verilog of a component whose module is `name`, as Amaranth's Yosys package writes it.

    Amaranth takes a Yosys on PATH first, whose version the text depends on; here it does so only
    where ``$AMARANTH_USE_YOSYS`` asks for it. `options` are those of ``amaranth.back.verilog``.
    """
    before = os.environ.get(_WHICH)
    os.environ.setdefault(_WHICH, "builtin")
    try:
        text = verilog.convert(
            component, name=name, emit_src=False, strip_internal_attrs=True, **options
        )
    finally:
        if before is None:
            del os.environ[_WHICH]
    return str(text)


def kept_apart(text: str) -> str:
    """`text` with the registers that are to be kept marked where they are assigned, too.

    Yosys merges equal registers whatever is said of the signal; it looks at the register's cell.
    `text` is that of :func:`text_of`; see :func:`.repeat.repeated`.
    """

    def mark(module: re.Match[str]) -> str:
        kept = set(_KEPT.findall(module[0]))
        return _REGISTER.sub(lambda m: "  (* keep *)\n" if m[1] in kept else "", module[0])

    return _MODULE.sub(mark, text)


def without_empty_wires(text: str) -> str:
    """`text` without declarations of no bits, ``[-1:0]``, which other tools take for two.

    Raises
    ------
    ValueError
        One is used.
    """

    def strip(module: re.Match[str]) -> str:
        names = _EMPTY.findall(module[0])
        rest = _EMPTY.sub("", module[0])
        for name in names:
            if re.search(rf"(?<![\w.$\\]){re.escape(name)}(?![\w.$])", rest):
                raise ValueError(f"{name} has no bits, and is used")
        return rest

    return _MODULE.sub(strip, text)


def write(path: Path, text: str) -> None:
    """Write a file whole: a full disk leaves the old one."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def emit(config: AcceleratorConfig, directory: Path | str, target: str = "portable") -> Path:
    """Write ``weft_top.v`` and ``weft_top.json`` (config, hash, ISA version, ports, registers).

    Parameters
    ----------
    config : AcceleratorConfig
    directory : path
        Made if it does not exist.
    target : str
        Form of the array's cells: portable, or that of a chip family (``target.TARGETS``).

    Returns
    -------
    Path of ``weft_top.v``.

    Raises
    ------
    ValueError
        Unknown `target`.
    OSError
        The folder or a file cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    top = Top(config, target)
    text = text_of(top, TOP_NAME)
    path = folder / f"{TOP_NAME}.v"
    # Nothing reads a memory before it was written, and a statement for every row makes the text,
    # and what tools do with it, several times as long.
    text = without_empty_wires(_ZERO_MEMORY.sub("", text))
    write(path, kept_apart(text))
    side = {
        "schema": "weft.top/1",
        "config": config.as_dict(),
        "config_hash": config.hash,
        "isa_version": ISA_VERSION,
        "target": target,
        "ports": {
            name: {"direction": member.flow.name.lower(), "width": getattr(top, name).shape().width}
            for name, member in top.signature.members.items()
        },
        "registers": {r.name: r.offset for r in REGISTERS.values()},
    }
    write(folder / f"{TOP_NAME}.json", json.dumps(side, indent=1) + "\n")
    return path
