"""What a virtual board is made of: registers of the processing system, files, the logic, memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from weft.backend.rtl.library import DECERR, Simulation
from weft.bundle import virtual
from weft.bundle.hwh import GPIO_OFFSET
from weft.dram import MemoryModel
from weft.errors import DeviceError
from weft_hw.boards import Board
from weft_hw.config import AcceleratorConfig
from weft_hw.platform import Platform
from weft_hw.registers import REGISTERS, STATUS_RUNNING

from .memory import BufferPool

__all__ = ["FPGA_MANAGER", "BusError", "VirtualBoard"]

FPGA_MANAGER = "/sys/class/fpga_manager/fpga0"
_FIRMWARE = "/lib/firmware/"
#: Longest time that one read of a running core's status advances the simulation.
_POLL_S = 5.0
_POLL_CYCLES = 20_000
#: Longest name of a file, as in Linux.
_NAME_MAX = 255
#: Files of a client: at most so many bytes altogether.
_FILES_MAX_BYTES = 256 << 20
#: Files, and characters of a path.
_FILES_MAX, _PATH_MAX = 1000, 4096


class BusError(Exception):
    """Nothing answers at an address, or the answer is an error: a board would kill the program."""


class VirtualBoard:
    """One simulated board; all methods may be called from several threads.

    Parameters
    ----------
    board : Board
    library : callable(config) -> Path
        Shared library that simulates a configuration.
    cma_bytes : int, optional
        Contiguous memory; that of the board's image by default.
    log : callable, optional
        Told what happens, in sentences.
    """

    def __init__(
        self,
        board: Board,
        library: Callable[[AcceleratorConfig], Path],
        cma_bytes: int | None = None,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.board, self._library, self._log = board, library, log
        self.lock = threading.RLock()
        size = board.pynq.cma_bytes if cma_bytes is None else cma_bytes
        self.pool = BufferPool(np.zeros(size, np.uint8), board.system.cma_base)
        architecture = board.system.architecture
        self.files: dict[str, bytes] = {
            "/proc/version": f"Linux version 6.6.0-virtual ({architecture}) Weft".encode(),
            "/proc/device-tree/chosen/pynq_board": board.pynq.name.encode() + b"\0",
            "/proc/meminfo": f"CmaTotal: {size >> 10:>14} kB\n".encode(),
            f"{FPGA_MANAGER}/state": b"operating\n",
            f"{FPGA_MANAGER}/flags": b"0\n",
        }
        self._words = _reset_values(board)
        self._simulation: Simulation | None = None
        self._gpio = False
        self.config: AcceleratorConfig | None = None
        #: Register accesses, bytes and calls since the start, for tests and for the curious.
        self.counts: Counter[str] = Counter()

    # -- files ------------------------------------------------------------------------------------

    def write_file(self, path: str, data: bytes) -> None:
        """Store a file; the FPGA manager's ``firmware`` loads what it names.

        Raises
        ------
        BusError
            The disk is full, or the bitstream is refused.
        """
        with self.lock:
            self.counts["file_bytes"] += len(data)
            if path == f"{FPGA_MANAGER}/firmware":
                self._load(data.decode(errors="replace").strip())
                return
            if len(path) > _PATH_MAX or not path.isprintable():
                raise BusError(f"a path has at most {_PATH_MAX} printable characters")
            others = {p: d for p, d in self.files.items() if p != path}
            used = sum(len(p) + len(d) for p, d in others.items())
            if used + len(path) + len(data) > _FILES_MAX_BYTES or len(others) >= _FILES_MAX:
                raise BusError(f"no space left on the virtual board for {path[:_NAME_MAX]}")
            self.files[path] = data

    def _load(self, name: str) -> None:
        self._unload()
        name = name[:_NAME_MAX]  # it comes from a client and goes into messages
        try:
            header = virtual.decode(self.files[_FIRMWARE + name])
            config = AcceleratorConfig(**header["config"])
            if config.hash != header["config_hash"]:
                raise ValueError(
                    f"it was built as config {header['config_hash']}, this software generates "
                    f"{config.hash} from the same parameters"
                )
            if header["board"] != self.board.name:
                raise ValueError(f"it is for {header['board']}, this is {self.board.name}")
            platform = Platform(config, self.board, header["clock_mhz"])
        except KeyError as error:
            self._refuse(name, f"there is no {error.args[0]}")
        except (TypeError, ValueError) as error:
            self._refuse(name, str(error))
        self._simulation = Simulation(
            self._library(config),
            config,
            MemoryModel.of(platform),
            len(self.pool.dram),
            base=self.pool.base,
        )
        self.pool.attach(self._simulation.memory)
        self._gpio, self.config = bool(header.get("gpio")), config
        self.protect()
        self.files[f"{FPGA_MANAGER}/state"] = b"operating\n"
        self.counts["loads"] += 1
        self._log(f"{name}: {config.name} ({config.hash}) is loaded")

    def _refuse(self, name: str, why: str) -> None:
        self.files[f"{FPGA_MANAGER}/state"] = b"write error\n"
        self._log(f"{name} is refused: {why}")
        raise BusError(f"the virtual {self.board.name} refuses {name}: {why}")

    def _unload(self) -> None:
        if self._simulation is not None:
            self.pool.attach(self._simulation.memory.copy())
            self._simulation.close()
        self._simulation, self.config, self._gpio = None, None, False

    # -- registers --------------------------------------------------------------------------------

    def read(self, address: int) -> int:
        """One 32-bit read at a physical address.

        Raises
        ------
        BusError
            Nothing answers there.
        """
        with self.lock:
            place = self._place(address)
            if place is None:
                return self._words.get(address, 0)
            simulation, offset = place
            self.counts["register_reads"] += 1
            if offset == REGISTERS["status"].offset:
                self._advance(simulation)
            try:
                value, response = simulation.read_register(offset)
            except DeviceError as error:
                raise BusError(str(error)) from None
            if response:
                raise BusError(f"reading {address:#x} answered response {response}")
            return value

    def write(self, address: int, value: int) -> None:
        """One 32-bit write at a physical address; raises as :meth:`read`."""
        with self.lock:
            place = self._place(address)
            if place is None:
                self._words[address] = value
                return
            simulation, offset = place
            self.counts["register_writes"] += 1
            try:
                response = simulation.write_register(offset, value)
            except DeviceError as error:
                raise BusError(str(error)) from None
            if response:
                raise BusError(f"writing {address:#x} answered response {response}")

    def _place(self, address: int) -> tuple[Simulation, int] | None:
        """The accelerator and an offset in it; None for a plain register."""
        board = self.board
        offset = address - board.system.base_address
        if 0 <= offset < board.system.address_range:
            if self._simulation is None:
                raise BusError(f"nothing answers at {address:#x}: no bitstream is loaded")
            return self._simulation, offset
        window = 0x1000
        plain = [board.system.interrupt_controller_address]
        plain += [board.system.base_address + GPIO_OFFSET] if self._gpio else []
        if any(0 <= address - base < window for base in plain) and self._simulation is not None:
            return None
        if any(0 <= address - base < size for base, size in _REGIONS[board.system.zynqmp]):
            return None
        raise BusError(f"nothing answers at {address:#x}")

    def _advance(self, simulation: Simulation) -> None:
        """Let a running core work until it stops, or until the client has waited long enough."""
        end = time.monotonic() + _POLL_S
        offset = REGISTERS["status"].offset
        try:
            while simulation.read_register(offset)[0] & STATUS_RUNNING and not simulation.irq:
                simulation.run(_POLL_CYCLES)
                if time.monotonic() > end:
                    break
        except DeviceError as error:
            raise BusError(str(error)) from None

    # -- memory -----------------------------------------------------------------------------------

    def protect(self) -> None:
        """Answer every access of the accelerator outside live buffers with a decode error."""
        if self._simulation is not None:
            self._simulation.clear_faults()
            for first, end in self.pool.holes():
                self._simulation.add_fault(first, end, DECERR, reads=True, writes=True)

    def close(self) -> None:
        """Free the simulator."""
        with self.lock:
            self._unload()


#: (address, bytes) of the registers of the processing system that pynq touches, by family.
_REGIONS = {
    False: ((0xF800_0000, 0x1000), (0xF800_8000, 0x4000)),
    True: (
        (0xFD1A_0000, 0x1000),
        (0xFF5E_0000, 0x1000),
        (0xFD61_5000, 0x1000),
        (0xFF41_9000, 0x1000),
        (0xFD36_0000, 0x6_0000),
    ),
}


def _reset_values(board: Board) -> dict[int, int]:
    """Clock registers as the boot loader of an image leaves them.

    Zynq-7000: UG585, SLCR: reference 50 MHz (PYNQ-Z1/Z2), IO PLL x 20, ARM PLL x 26, DDR PLL x 21.
    UltraScale+: UG1087, CRL_APB and CRF_APB: reference 33.333 MHz, IO PLL x 45, APLL x 72 / 2.
    """
    words: dict[int, int] = {}
    if board.system.zynqmp:
        words[0xFF5E_0020] = 45 << 8
        for i in range(4):
            words[0xFF5E_00C0 + 4 * i] = 1 << 24 | 1 << 16 | 15 << 8
        words[0xFD1A_0020] = 72 << 8
        words[0xFD1A_0060] = 1 << 8
        return words
    slcr = 0xF800_0000
    words[slcr + 0x100], words[slcr + 0x104], words[slcr + 0x108] = 26 << 12, 21 << 12, 20 << 12
    words[slcr + 0x120] = 2 << 8
    for i in range(4):
        words[slcr + 0x170 + 16 * i] = 1 << 20 | 10 << 8
        words[0xF800_8014 + 0x1000 * i] = 0xF00  # AFI_WRCHAN_CTRL
    return words
