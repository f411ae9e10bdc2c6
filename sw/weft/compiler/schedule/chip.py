"""Who holds which bytes of the on-chip memories, over all layers of a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.errors import Unsupported
from weft_hw.config import AcceleratorConfig

__all__ = ["Chip", "Held", "Ring"]


@dataclass
class Held:
    """Bytes [start, end) of a memory, and the last step and the last store that need them."""

    start: int
    end: int
    step: int = -1
    store: int = -1


class Ring:
    """Allocates [start, start + size) round and round; a new tenant evicts what it overlaps.

    What it leaves of an earlier tenant stays held: the next one there may be of another unit.
    Rings of one memory share the list of its tenants.
    """

    def __init__(self, what: str, start: int, size: int, held: list[Held]) -> None:
        self.what, self.start, self.size, self.held = what, start, size, held
        self.head = start

    def together(self, size: int) -> None:
        """Let what is taken next, up to `size` bytes in all, follow each other."""
        if self.head + size > self.start + self.size:
            self.head = self.start

    def take(self, size: int) -> tuple[Held, int, int]:
        """(place, last step and last store that need what was there, or -1).

        Raises
        ------
        Unsupported
            The ring is smaller.
        """
        if size > self.size:
            raise Unsupported(f"a tiling needs {size} bytes of {self.what}, there are {self.size}")
        self.together(size)
        place = Held(self.head, self.head + size)
        self.head = place.end
        gone = [h for h in self.held if h.start < place.end and place.start < h.end]
        rest = [
            replace(h, start=start, end=end)
            for h in gone
            for start, end in ((h.start, place.start), (place.end, h.end))
            if start < end
        ]
        self.held[:] = [h for h in self.held if h not in gone] + rest + [place]
        steps = max((h.step for h in gone), default=-1)
        return place, steps, max((h.store for h in gone), default=-1)


class Chip:
    """The memories of an accelerator while a plan is made."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.scratchpad: list[Held] = []
        self.weights = Ring("weight buffer", 0, config.weight_buffer_bytes, [])
        self.parameters = Ring("parameter memory", 0, config.parameter_bytes, [])
        #: One of the memories of taps; the others are as large, and used alike.
        self.taps = Ring("tap memory", 0, config.tap_words * config.line_bytes, [])
        #: Last step that looks into each table, and the number of the next one to be loaded.
        self.tables = [-1] * config.tables
        self.next_table = 0
