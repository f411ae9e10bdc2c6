"""The DRAM that a simulated accelerator sees, in cycles of its clock, and the roofline.

The board's figures are in :mod:`weft_hw.boards`. Every number of cycles that Weft reports depends
on these constants, so their hash goes with it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass

from weft.errors import UsageError
from weft_hw.boards import BoardError
from weft_hw.config import AcceleratorConfig
from weft_hw.platform import Platform, platform

__all__ = ["MemoryModel", "memory_of", "roofline_cycles"]


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

    @classmethod
    def of(cls, platform: Platform) -> MemoryModel:
        """Memory of the platform's board, through the ports of its configuration.

        Rates are rounded to hundredths of a byte per cycle, latencies up to whole cycles.
        """
        config, dram, clock = platform.config, platform.board.dram, platform.clock_mhz
        bytes_per_cycle = dram.peak_gb_s * 1000 / clock
        return cls(
            name=f"{platform.board.name} at {clock:g} MHz",
            ports=config.axi_ports,
            beat_bytes=config.beat_bytes,
            peak_bytes_per_cycle=round(bytes_per_cycle, 2),
            deliverable_bytes_per_cycle=round(bytes_per_cycle * dram.efficiency, 2),
            read_latency=math.ceil(dram.read_latency_ns * clock / 1000),
            write_latency=math.ceil(dram.write_latency_ns * clock / 1000),
        )

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


def memory_of(
    config: AcceleratorConfig, board: str | None = None, clock_mhz: float | None = None
) -> MemoryModel:
    """Memory of ``weft_hw.platform.platform(config, board, clock_mhz)``.

    Raises
    ------
    UsageError
        There is no such platform; the sentence says why.
    """
    try:
        return MemoryModel.of(platform(config, board, clock_mhz))
    except BoardError as error:
        raise UsageError(str(error), "choose another board or clock") from None


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
