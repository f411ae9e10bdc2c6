"""Place-and-route flows, by the name that ``weft synth --pnr`` takes.

A flow is a module with two functions of a :class:`Job`: ``check(job)`` raises ToolMissing,
UsageError or Unsupported where it cannot run, and ``route(job)`` returns a :class:`Route` per
block, in their order. It is imported when it is asked for, so that a flow whose tools are absent
costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from weft.results import OMITTED, NonNegative, PositiveFloat, Rule
from weft_hw.boards import Board
from weft_hw.config import AcceleratorConfig

__all__ = ["CORE", "FLOWS", "WHOLE", "Job", "Route", "flow", "leave_a_margin"]

#: Name -> module. One line is all that a further flow takes.
FLOWS = {
    "ecp5": "weft.synth.ecp5",
    "vivado": "weft.synth.vivado",
    "open": "weft.synth.zynq7",
}
#: Name of the whole design among the blocks of a job.
WHOLE = "weft_top"
#: In front of the names of blocks, in the design.
CORE = "weft_top.core."

#: What is said of an instance at least.
_INSTANCE = Rule(
    required=["instance", "module", "lut", "lut_memory", "ff", "bram36", "uram", "dsp"]
)


def _silent(done: int = 1, /, *, text: str | None = None) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Job:
    """What is to be placed and routed.

    config : AcceleratorConfig
    folder : Path
        For everything that the tools read and write, and for results that are kept.
    board : Board
        Whose part and form of the cells a flow takes that serves a chip family.
    blocks : tuple of str
        WHOLE, or names of blocks below the core ("compute.array"), each by itself.
    advance : function
        Called with a text before a block, and with 1 after it.
    """

    config: AcceleratorConfig
    folder: Path
    board: Board
    blocks: tuple[str, ...] = (WHOLE,)
    advance: Callable[..., None] = _silent


@dataclass
class Route:
    """fmax_mhz: of the core's clock after routing; critical_path: cells and nets, with ns.

    module is the routed module; begin and end are the cells at the ends of the critical path; used
    counts cells of the part by type. A tool that was given a period (clock_mhz) has slack_ns left,
    negative where it misses. blocks: counts per instance, where the tool gives them. untimed: kinds
    of cells whose delays the tool does not know, so that fmax_mhz and slack_ns leave them out.
    """

    module: str
    part: str
    fmax_mhz: PositiveFloat
    critical_path: list[str]
    begin: str
    end: str
    used: dict[str, NonNegative] = field(default_factory=dict)
    clock_mhz: PositiveFloat | None = field(default=None, metadata=OMITTED)
    slack_ns: float | None = field(default=None, metadata=OMITTED)
    blocks: list[Annotated[dict[str, Any], _INSTANCE]] = field(
        default_factory=list, repr=False, metadata=OMITTED
    )
    untimed: list[str] = field(default_factory=list, metadata=OMITTED)

    @property
    def block(self) -> str:
        """Name of the block, below the core."""
        return self.module.removeprefix(CORE)

    @property
    def sentence(self) -> str:
        """For people."""
        text = f"{self.block}: {self.fmax_mhz:.1f} MHz on {self.part}"
        if self.slack_ns is not None:
            text += f" (slack {self.slack_ns:+.3f} ns at {self.clock_mhz:g} MHz)"
        if self.untimed:
            text += f", {leave_a_margin(self.untimed)}"
        return f"{text}; critical path:\n  " + "\n  ".join(self.critical_path)


def leave_a_margin(untimed: Sequence[str]) -> str:
    """What a slack is worth without the delays of these cells, for people."""
    cells = ", ".join(untimed)
    return f"without the delays of {cells}, which nextpnr does not know: leave a margin"


def flow(name: str) -> ModuleType:
    """The flow `name` of FLOWS."""
    return importlib.import_module(FLOWS[name])
