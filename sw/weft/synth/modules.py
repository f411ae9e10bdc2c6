"""The modules of a Verilog text: equal ones merged, small ones put into the block above.

Amaranth writes a module per instance. Synthesis of one of them is enough, and a table of blocks
reads better than one of every queue.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Unit", "block_text", "is_block", "units"]

_MODULE = re.compile(r"^module (\S+) ?\((.*?)\);\n(.*?)^endmodule\n", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  (\S+) +(\S+) +\(\n(.*?)\n  \);\n", re.MULTILINE | re.DOTALL)
_CONNECTION = re.compile(r"^    \.(\S+?) ?\((.*)\),?$", re.MULTILINE)
#: Names that number nets over the whole design.
_NUMBERED = re.compile(r"\\port\$\d+\$\d+")
_UNSTABLE = re.compile(r"(\$auto\$verilog_backend\.cc:\d+:dump_module)\$\d+")
#: Numbers behind the names of modules.
_SUFFIX = re.compile(r"(\\weft_top[\w.]*)\$\d+ ")
#: Blocks below the third level.
_DEEP = re.compile(r"\.array\.pair\d+$")


def is_block(name: str) -> bool:
    """Whether module `name` is a row of the table: three levels below the top, and column pairs."""
    return name.count(".") <= 3 or _DEEP.search(name) is not None


@dataclass
class Unit:
    """What is synthesised at once.

    name is the module's; text holds the module and those that are flattened into it; boxes the
    modules of other units that it instantiates.
    """

    name: str
    text: str
    boxes: tuple[str, ...] = ()
    key: str = ""


def units(text: str, block: Callable[[str], bool] = is_block) -> dict[str, Unit]:
    """Units of synthesis of a design, leaves first; the top is the last.

    Parameters
    ----------
    text : str
        Verilog as ``weft_hw.verilog.emit`` writes it; a module comes after those that it uses or
        before them.
    block : function
        Which modules, by name, are units.
    """
    text = _SUFFIX.sub(r"\1 ", text)
    found = {m[1].lstrip("\\"): (m[2], m[3]) for m in _MODULE.finditer(text)}
    if not found:
        return {"weft_top": Unit("weft_top", text)}
    chosen: dict[str, tuple[str, dict[str, str]]] = {}  # module -> representative, port names
    texts: dict[str, str] = {}  # leaves first
    uses: dict[str, list[str]] = {}
    known: dict[tuple[str, bool], str] = {}

    def visit(name: str) -> None:
        if name in chosen:
            return
        header, body = found[name]
        below: list[str] = []

        def connect(match: re.Match[str]) -> str:
            used = match[1].lstrip("\\")
            if used not in found:
                return match[0]
            visit(used)
            representative, ports = chosen[used]
            below.append(representative)
            pins = sorted(
                f"    .{ports.get(pin[1], pin[1])} ({pin[2]})"
                for pin in _CONNECTION.finditer(match[3])
            )
            joined = ",\n".join(pins)
            return f"  \\{representative} {match[2]} (\n{joined}\n  );\n"

        body = _UNSTABLE.sub(r"\1", _INSTANCE.sub(connect, body))
        names: dict[str, str] = {}
        body = _NUMBERED.sub(lambda m: names.setdefault(m[0], f"\\port${len(names)}"), body)
        pins = sorted(
            names.get(p, p) for p in (" ".join(part.split()) for part in header.split(","))
        )
        content = "(" + ", ".join(f"{p} " for p in pins) + f");\n{body}endmodule\n"
        representative = known.setdefault((content, block(name)), name)
        chosen[name] = representative, names
        if representative == name:
            texts[name], uses[name] = f"module \\{name} {content}", below

    for name in found:
        visit(name)
    result: dict[str, Unit] = {}
    for name in filter(block, texts):
        inside, boxes, waiting = [], [], list(uses[name])
        while waiting:
            used = waiting.pop(0)
            if block(used):
                boxes.append(used)
            elif used not in inside:
                inside.append(used)
                waiting += uses[used]
        boxes = list(dict.fromkeys(boxes))
        whole = texts[name] + "".join(texts[n] for n in inside)
        interfaces = "".join(_interface(texts[b]) for b in boxes)
        key = hashlib.sha256((whole + interfaces).encode()).hexdigest()[:24]
        result[name] = Unit(name, whole, tuple(boxes), key)
    return result


def block_text(text: str, name: str) -> str:
    """Verilog of module `name` of a design, with all that is below it.

    Raises
    ------
    KeyError
        There is none; the argument is the list of those that exist.
    """
    design = units(text)
    if name not in design:
        raise KeyError(list(design))
    wanted = [name]
    for used in wanted:
        wanted += [box for box in design[used].boxes if box not in wanted]
    # A small module may be in the text of several units.
    modules = {m[1]: m[0] for used in wanted for m in _MODULE.finditer(design[used].text)}
    return "".join(modules.values())


def _interface(text: str) -> str:
    """Header and port declarations of a module."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if re.match(r"\s+(input|output|inout) ", line)]
    return "".join([lines[0], *kept, "endmodule\n"])
