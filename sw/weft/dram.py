"""The DRAM that a simulated accelerator sees: constants per board and clock, and the roofline.

Every number of cycles that Weft reports depends on these constants, so their hash goes with it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig

__all__ = ["MemoryModel", "for_config", "roofline_cycles"]


@dataclass(frozen=True)
class MemoryModel:
    """Rates in bytes per accelerator clock cycle, latencies in cycles of the same clock.

    Each port moves at most one read beat and one write beat per cycle; reads and writes of all
    ports share `deliverable_bytes_per_cycle`.
    """

    #: Board and clock, for people; not part of the hash.
    name: str
    #: AXI data ports.
    ports: int
    #: Bytes of one beat of one port.
    beat_bytes: int
    #: Data rate of the DRAM pins. Reported, not simulated: `deliverable` is what limits a run.
    peak_bytes_per_cycle: float
    #: Sustained rate: peak less refresh and turnarounds between reading and writing.
    deliverable_bytes_per_cycle: float
    #: Cycles from the acceptance of a read address to its first beat.
    read_latency: int
    #: Cycles from the acceptance of the last write beat to the write response.
    write_latency: int

    @property
    def port_bytes_per_cycle(self) -> int:
        """Bytes per cycle that all ports together can move in one direction."""
        return self.ports * self.beat_bytes

    @property
    def hash(self) -> str:
        """16 hex digits, equal exactly when every constant is equal."""
        constants = {k: v for k, v in dataclasses.asdict(self).items() if k != "name"}
        text = json.dumps(constants, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def with_latency_factor(self, factor: int) -> MemoryModel:
        """Copy with both latencies multiplied by `factor`."""
        return dataclasses.replace(
            self,
            name=f"{self.name}, latency x{factor}",
            read_latency=self.read_latency * factor,
            write_latency=self.write_latency * factor,
        )


#: (board, MHz) -> peak, deliverable, read latency, write latency.
#:
#: PYNQ-Z2: 16-bit DDR3 at 525 MHz, 1050 MT/s, is 2.10 GB/s (board file of PYNQ); of that 85 % is
#: taken, between the 97 % (sequential reads) and 79 % (mixed, random) that UG585 "DDR Efficiency"
#: measures: refresh takes 3 to 5 % and turnarounds the rest. 500 ns first-beat read latency, 250 ns
#: write response, in cycles of the clock.
#: KV260: 64-bit DDR4 at 2400 MT/s, 19.2 GB/s (DS987), 75 % deliverable. ZCU104: 64-bit DDR4 at
#: 2133 MT/s, 17.1 GB/s (board file of PYNQ), 75 % deliverable. Manev, Vaishnav and Koch (FPT 2019)
#: reach 75 % on a ZCU102. 400 ns and 200 ns latency.
_BOARDS: dict[tuple[str, int], tuple[float, float, int, int]] = {
    ("pynq-z2", 100): (21.0, 17.85, 50, 25),
    ("pynq-z2", 150): (14.0, 11.9, 75, 38),
    ("kv260", 200): (96.0, 72.0, 80, 40),
    ("zcu104", 200): (85.0, 64.0, 80, 40),
}
#: Test presets run on the memory of a real board, with their own ports.
_BOARD_OF = {"tiny": "pynq-z2", "tiny-wide": "pynq-z2"}


def for_config(config: AcceleratorConfig, clock_mhz: int | None = None) -> MemoryModel:
    """Memory of the board that `config` is a preset of, at `clock_mhz` (the preset's by default).

    Raises
    ------
    UsageError
        The board, or the board at this clock, has no constants.
    """
    clock = config.clock_mhz if clock_mhz is None else clock_mhz
    board = _BOARD_OF.get(config.name, config.name)
    clocks = [mhz for name, mhz in _BOARDS if name == board]
    if not clocks:
        known = ", ".join(dict.fromkeys([n for n, _ in _BOARDS] + list(_BOARD_OF)))
        raise UsageError(
            f"there is no memory model for configuration {config.name!r}, only for {known}",
            "give a MemoryModel, or name the configuration after its board",
        )
    if clock not in clocks:
        known = " and ".join(str(c) for c in clocks)
        raise UsageError(
            f"the memory of {config.name} is modelled at {known} MHz, not at {clock}",
            "choose one of these clocks",
        )
    peak, deliverable, read_latency, write_latency = _BOARDS[board, clock]
    return MemoryModel(
        name=f"{config.name} at {clock} MHz",
        ports=config.axi_ports,
        beat_bytes=config.beat_bytes,
        peak_bytes_per_cycle=peak,
        deliverable_bytes_per_cycle=deliverable,
        read_latency=read_latency,
        write_latency=write_latency,
    )


def roofline_cycles(
    config: AcceleratorConfig, model: MemoryModel, macs: int, bytes_read: int, bytes_written: int
) -> float:
    """Cycles below which no schedule on this array and this memory can go.

    Parameters
    ----------
    macs : int
        Useful multiply-accumulates.
    bytes_read, bytes_written : int
        Each input once and each output once; parameters and program are not counted.
    """
    return max(
        macs / config.macs_per_cycle,
        bytes_read / model.port_bytes_per_cycle,
        bytes_written / model.port_bytes_per_cycle,
        (bytes_read + bytes_written) / model.deliverable_bytes_per_cycle,
    )
