"""The table of boards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .chips import CHIPS, Chip
from .processing_system import ZYNQ7, ZYNQMP, BoardError, ProcessingSystem

__all__ = [
    "BOARDS",
    "PYNQ_BOARDS",
    "Board",
    "Dram",
    "PynqImage",
    "board_named",
    "pynq_board",
]


@dataclass(frozen=True, kw_only=True)
class Dram:
    """Memory of a processing system, in units that no clock changes.

    Parameters
    ----------
    bytes : int
    peak_gb_s : float
        Data rate of the pins, 10**9 bytes per second.
    efficiency : float
        Share of it that is sustained: the rest goes to refresh and to turnarounds between reading
        and writing.
    read_latency_ns : int
        From the acceptance of a read address to its first beat.
    write_latency_ns : int
        From the acceptance of the last write beat to the write response.
    source : str
        Where the rates come from; it says so where one is an estimate.
    """

    bytes: int
    peak_gb_s: float
    efficiency: float
    read_latency_ns: int
    write_latency_ns: int
    source: str


@dataclass(frozen=True, kw_only=True)
class PynqImage:
    """The PYNQ image of a board.

    Parameters
    ----------
    name : str
        What the image calls the board.
    package : str
        The version of the pynq package that serves it.
    sd_card : str
        The SD card image to take.
    cma_bytes : int
        Contiguous memory that it sets aside.
    """

    name: str
    package: str
    sd_card: str
    cma_bytes: int


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board.

    Parameters
    ----------
    name : str
        As on the command line.
    chip : Chip
    system : ProcessingSystem
    dram : Dram
    board_part : str
        Name of its Vivado board files, which are used only where they are installed.
    image : PynqImage, optional
        None where Weft knows no PYNQ image for it: it can be planned for, not driven.
    """

    name: str
    chip: Chip
    system: ProcessingSystem
    dram: Dram
    board_part: str
    image: PynqImage | None = None

    @property
    def pynq(self) -> PynqImage:
        """Its image.

        Raises
        ------
        BoardError
            There is none.
        """
        if self.image is None:
            raise BoardError(
                f"there is no PYNQ image for {self.name}; the boards with one are "
                f"{', '.join(PYNQ_BOARDS)}"
            )
        return self.image


_Z020 = CHIPS["xc7z020clg400-1"]
_Z2_DRAM = Dram(
    bytes=512 << 20,
    peak_gb_s=2.1,
    efficiency=0.85,
    read_latency_ns=500,
    write_latency_ns=250,
    source="16-bit DDR3 at 1050 MT/s (board files of PYNQ); 85 % lies between the 97 % (sequential "
    "reads) and 79 % (mixed, random) of UG585, DDR Efficiency; latencies are estimates",
)

#: By name, smaller chips first. AUP-ZU3 is the default of AMD's university programme since
#: Zynq-7000 retired.
BOARDS: Mapping[str, Board] = {
    b.name: b
    for b in (
        Board(
            name="pynq-z2",
            chip=_Z020,
            system=ZYNQ7,
            dram=_Z2_DRAM,
            board_part="tul.com.tw:pynq-z2:part0:1.0",
            image=PynqImage(
                name="Pynq-Z2",
                package="3.1.2",
                sd_card="PYNQ v3.1 for PYNQ-Z2",
                cma_bytes=128 << 20,
            ),
        ),
        Board(
            name="pynq-z1",
            chip=_Z020,
            system=ZYNQ7,
            dram=_Z2_DRAM,
            board_part="www.digilentinc.com:pynq-z1:part0:1.0",
            image=PynqImage(
                name="Pynq-Z1",
                package="3.1.2",
                sd_card="PYNQ v3.1 for PYNQ-Z1",
                cma_bytes=128 << 20,
            ),
        ),
        Board(
            name="ultra96",
            chip=CHIPS["xczu3eg-sbva484-1-i"],
            system=ZYNQMP,
            dram=Dram(
                bytes=2 << 30,
                peak_gb_s=4.26,
                efficiency=0.925,
                read_latency_ns=400,
                write_latency_ns=200,
                source="32-bit LPDDR4 at 1066 MT/s (Avnet's Ultra96-PYNQ); 92.5 % measured by "
                "Manev, Vaishnav and Koch (FPT 2019); latencies are estimates",
            ),
            board_part="avnet.com:ultra96v2:part0:1.1",
        ),
        Board(
            name="aup-zu3",
            chip=CHIPS["xczu3eg-sfvc784-2-e"],
            system=ZYNQMP,
            dram=Dram(
                bytes=8 << 30,
                peak_gb_s=9.6,
                efficiency=0.75,
                read_latency_ns=400,
                write_latency_ns=200,
                source="32-bit DDR4-2400 (settings of the processing system in Xilinx/AUP-ZU3); "
                "75 % as the ZCU102 reaches it, and the latencies, are estimates",
            ),
            board_part="realdigital.org:aup-zu3-8gb:part0:1.0",
            image=PynqImage(
                name="AUP-ZU3",
                package="4.0.0",
                sd_card="PYNQ v3.1 or v4.0 for AUP-ZU3",
                cma_bytes=512 << 20,
            ),
        ),
        Board(
            name="kv260",
            chip=CHIPS["xck26-sfvc784-2LV-c"],
            system=ZYNQMP,
            dram=Dram(
                bytes=4 << 30,
                peak_gb_s=19.2,
                efficiency=0.75,
                read_latency_ns=400,
                write_latency_ns=200,
                source="64-bit DDR4 at 2400 MT/s (DS987); 75 % as Manev, Vaishnav and Koch "
                "(FPT 2019) reach on a ZCU102; latencies are estimates",
            ),
            board_part="xilinx.com:kv260_som:part0:1.3",
            image=PynqImage(
                name="KV260",
                package="4.0.0",
                sd_card="Ubuntu for Kria with Kria-PYNQ",
                cma_bytes=512 << 20,
            ),
        ),
        Board(
            name="zcu104",
            chip=CHIPS["xczu7ev-ffvc1156-2-e"],
            system=ZYNQMP,
            dram=Dram(
                bytes=2 << 30,
                peak_gb_s=17.0,
                efficiency=12.8 / 17.0,
                read_latency_ns=400,
                write_latency_ns=200,
                source="64-bit DDR4 at 2133 MT/s (board files of PYNQ), 17.06 GB/s; 12.8 is 75 % "
                "of that, as Manev, Vaishnav and Koch (FPT 2019) reach on a ZCU102; latencies are "
                "estimates",
            ),
            board_part="xilinx.com:zcu104:part0:1.1",
            image=PynqImage(
                name="ZCU104",
                package="4.0.0",
                sd_card="PYNQ v3.1 or v4.0 for ZCU104",
                cma_bytes=512 << 20,
            ),
        ),
    )
}
#: Those that a PYNQ image serves.
PYNQ_BOARDS: Mapping[str, Board] = {n: b for n, b in BOARDS.items() if b.image is not None}


def board_named(name: str) -> Board:
    """Board by name.

    Raises
    ------
    BoardError
        There is none; the sentence lists those that exist.
    """
    try:
        return BOARDS[name]
    except KeyError:
        raise BoardError(f"unknown board {name!r}; the boards are {', '.join(BOARDS)}") from None


def pynq_board(name: str) -> Board:
    """Board by name, which a PYNQ image serves.

    Raises
    ------
    BoardError
        There is no such board, or no image for it.
    """
    board = board_named(name)
    board.pynq  # noqa: B018  (raises where there is none)
    return board
