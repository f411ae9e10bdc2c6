"""One simulation: the ctypes side of the shared library."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weft.dram import MemoryModel
from weft.errors import DeviceError
from weft_hw.config import AcceleratorConfig

__all__ = ["ProtocolError", "Simulation", "Stalls", "Stats", "memory_base"]

#: Bursts that a port of the memory accepts ahead of their data, each direction.
QUEUE = 16
SLVERR, DECERR = 2, 3


class ProtocolError(DeviceError):
    """The accelerator broke a rule of AXI, or touched memory that is not its own."""

    code = "protocol"


class _Params(ctypes.Structure):
    _fields_ = [
        ("memory_bytes", ctypes.c_uint64),
        ("memory_base", ctypes.c_uint64),
        ("rate_millibytes", ctypes.c_uint64),
        ("read_latency", ctypes.c_uint32),
        ("write_latency", ctypes.c_uint32),
        ("queue", ctypes.c_uint32),
        ("max_reads", ctypes.c_uint32),
        ("max_writes", ctypes.c_uint32),
    ]


class Stats(ctypes.Structure):
    """What the memory saw since it was made.

    read_bytes, written_bytes : the latter with their strobe set
    max_reads, max_writes : most bursts that one port had outstanding
    """

    read_bytes: int
    written_bytes: int
    read_bursts: int
    write_bursts: int
    max_reads: int
    max_writes: int
    _fields_ = [(name, ctypes.c_uint64) for name in __annotations__]


@dataclass(frozen=True)
class Stalls:
    """Probabilities, per cycle and port, that the memory holds back a channel; 1.0 is for ever."""

    seed: int = 0
    arready: float = 0.0
    rvalid: float = 0.0
    awready: float = 0.0
    wready: float = 0.0
    bvalid: float = 0.0

    @classmethod
    def all(cls, seed: int, probability: float) -> Stalls:
        """The same probability on each channel."""
        return cls(seed, probability, probability, probability, probability, probability)


def memory_base(config: AcceleratorConfig) -> int:
    """Physical address of the simulated memory; above 4 GiB where the address width allows it."""
    return 0x1000_0000 if config.axi_address_bits == 32 else 0x1_4000_0000


class Simulation:
    """A Verilated `weft_top` and its DRAM.

    Parameters
    ----------
    path : Path
        From :func:`weft.backend.rtl.build.library`.
    memory_bytes : int
        Size of the DRAM; `memory` is it, uint8 [memory_bytes].
    base : int, optional
        Its physical address; :func:`memory_base` by default.

    Raises
    ------
    ProtocolError
        From any call that runs the clock; the message names port and cycle.
    """

    def __init__(
        self,
        path: Path,
        config: AcceleratorConfig,
        model: MemoryModel,
        memory_bytes: int,
        base: int | None = None,
    ) -> None:
        self.config = config
        self.base = memory_base(config) if base is None else base
        self.memory = np.zeros(memory_bytes, np.uint8)
        self._handle: int | None = None
        self._lib = _load(path)
        params = _Params(
            memory_bytes,
            self.base,
            round(model.deliverable_bytes_per_cycle * 1000),
            model.read_latency,
            model.write_latency,
            QUEUE,
            config.read_outstanding,
            config.write_outstanding,
        )
        self._handle = self._lib.weft_create(ctypes.byref(params), self.memory.ctypes.data)
        self._check()

    @property
    def _open(self) -> int:
        if self._handle is None:
            raise DeviceError("the simulation is closed", "make another one")
        return self._handle

    # -- the clock --------------------------------------------------------------------------------

    def run(self, cycles: int, until_irq: bool = True) -> int:
        """Run `cycles` cycles, or until the interrupt is high; the number of cycles that passed."""
        passed = int(self._lib.weft_run(self._open, cycles, until_irq))
        self._check()
        return passed

    def reset(self, cycles: int = 8) -> None:
        """Hold aresetn low for `cycles` cycles; the memory forgets its bursts, not its contents."""
        self._lib.weft_reset(self._open, cycles)
        self._check()

    def reset_alone(self, cycles: int = 8) -> None:
        """Hold aresetn low for `cycles` cycles while the memory goes on, and gives what it owes."""
        self._lib.weft_reset_alone(self._open, cycles)
        self._check()

    def write_register(self, offset: int, value: int) -> int:
        """One AXI4-Lite write; its BRESP."""
        response = int(self._lib.weft_write(self._open, offset, value & 0xFFFF_FFFF))
        return self._answered(response, offset)

    def read_register(self, offset: int) -> tuple[int, int]:
        """One AXI4-Lite read; (value, RRESP)."""
        value = ctypes.c_uint32()
        response = int(self._lib.weft_read(self._open, offset, ctypes.byref(value)))
        return value.value, self._answered(response, offset)

    @property
    def cycle(self) -> int:
        """Cycles since the simulation was made."""
        return int(self._lib.weft_cycle(self._open))

    @property
    def irq(self) -> bool:
        """Level of the interrupt."""
        return bool(self._lib.weft_irq(self._open))

    @property
    def memory_idle(self) -> bool:
        """No burst is outstanding."""
        return bool(self._lib.weft_idle(self._open))

    @property
    def stats(self) -> Stats:
        """Traffic of the data ports so far."""
        found = Stats()
        self._lib.weft_stats(self._open, ctypes.byref(found))
        return found

    # -- what the memory does to the accelerator ---------------------------------------------------

    def set_stalls(self, stalls: Stalls) -> None:
        """Hold channels back at random from now on."""
        p = [stalls.arready, stalls.rvalid, stalls.awready, stalls.wready, stalls.bvalid]
        self._lib.weft_stalls(self._open, stalls.seed, (ctypes.c_double * 5)(*p))

    def set_window(self, first: int, end: int) -> None:
        """Reads outside ``memory[first:end]`` are protocol errors."""
        self._lib.weft_window(self._open, self.base + first, self.base + end)

    def add_fault(
        self, first: int, end: int, response: int, *, reads: bool = False, writes: bool = False
    ) -> None:
        """Answer accesses that touch ``memory[first:end]`` with SLVERR (2) or DECERR (3)."""
        self._lib.weft_fault(
            self._open, self.base + first, self.base + end - 1, response, reads, writes
        )

    def hang(self, *, reads_from: int | None = None, writes_from: int | None = None) -> None:
        """Never answer bursts from this one on, counted from now over all ports; 0 is the next.

        They are accepted, and answered after :meth:`clear_faults`.
        """
        stats = self.stats
        reads = -1 if reads_from is None else stats.read_bursts + reads_from
        writes = -1 if writes_from is None else stats.write_bursts + writes_from
        self._lib.weft_hang(self._open, reads, writes)

    def clear_faults(self) -> None:
        """Answer everything again, what was held back included."""
        self._lib.weft_clear_faults(self._open)

    # -- traces and the end ------------------------------------------------------------------------

    def trace(self, path: Path) -> None:
        """Write a VCD trace to `path` from now on; needs a library built with ``trace=True``."""
        if not self._lib.weft_trace(self._open, str(path).encode()):
            raise DeviceError(
                f"no trace can be written to {path}",
                "build the library with trace=True and choose a writable path",
            )

    def close(self) -> None:
        """Free the simulator. `memory` stays."""
        if self._handle is not None:
            self._lib.weft_destroy(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self.close()

    def _answered(self, response: int, offset: int) -> int:
        self._check()
        if response < 0:
            raise ProtocolError(f"the register interface does not answer at offset {offset:#05x}")
        return response

    def _check(self) -> None:
        text = self._lib.weft_error(self._open)
        if text:
            self._lib.weft_clear_error(self._open)
            raise ProtocolError(f"AXI: {text.decode()}")


def _load(path: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(path))
    pointer, u64, i64, u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint32
    integer = ctypes.c_int
    for name, result, arguments in (
        ("create", pointer, [ctypes.POINTER(_Params), pointer]),
        ("destroy", None, [pointer]),
        ("reset", None, [pointer, integer]),
        ("reset_alone", None, [pointer, integer]),
        ("run", u64, [pointer, u64, integer]),
        ("write", integer, [pointer, u32, u32]),
        ("read", integer, [pointer, u32, ctypes.POINTER(u32)]),
        ("irq", integer, [pointer]),
        ("idle", integer, [pointer]),
        ("cycle", u64, [pointer]),
        ("error", ctypes.c_char_p, [pointer]),
        ("clear_error", None, [pointer]),
        ("stats", None, [pointer, ctypes.POINTER(Stats)]),
        ("stalls", None, [pointer, u64, ctypes.POINTER(ctypes.c_double)]),
        ("window", None, [pointer, u64, u64]),
        ("fault", None, [pointer, u64, u64, integer, integer, integer]),
        ("hang", None, [pointer, i64, i64]),
        ("clear_faults", None, [pointer]),
        ("trace", integer, [pointer, ctypes.c_char_p]),
    ):
        function = getattr(lib, f"weft_{name}")
        function.restype, function.argtypes = result, arguments
    return lib
