"""Identify an accelerator, point it at a program, start it, wait, and say why it stopped.

Standard library, numpy and the contract only: this runs on a board.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft.errors import DeviceError, Mismatch, UsageError
from weft.program import Program
from weft.program.asm import format_instruction
from weft_hw import registers as reg
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    ERROR_TEXT,
    ISA_VERSION,
    ErrorCode,
    Instruction,
    unit_counters,
    units_of,
)

from .transport import Transport

__all__ = ["Device"]

#: Reads of the status register after a soft reset before the bus counts as stuck.
_IDLE_POLLS = 1000
#: error_instruction of an error that belongs to no instruction: a bus error of a fetch.
_NO_INSTRUCTION = (1 << reg.REGISTERS["error_instruction"].width) - 1


class Device:
    """The accelerator behind `transport`.

    Parameters
    ----------
    config : AcceleratorConfig
        What is expected there.
    watchdog_cycles : int
        Cycles without any progress before the core stops itself; 0 switches that off.

    Raises
    ------
    Mismatch
        Something else is there: identifier, ISA major version or config hash differ.
    """

    def __init__(
        self, transport: Transport, config: AcceleratorConfig, watchdog_cycles: int = 100_000
    ) -> None:
        self.transport = transport
        self.config = config
        self.watchdog_cycles = watchdog_cycles
        self.program: Program | None = None
        #: Instructions that the run in hand has instead of the program's.
        self.patched: Mapping[int, Instruction] = {}
        #: Registers as they were written last; to be cleared where somebody else may have written.
        self.written: dict[str, int] = {}
        self.identify()

    # -- registers --------------------------------------------------------------------------------

    def read(self, name: str) -> int:
        """Value of the register `name`."""
        return self.transport.read32(reg.REGISTERS[name].offset)

    def write(self, name: str, value: int) -> None:
        """Set the register `name`."""
        self.transport.write32(reg.REGISTERS[name].offset, value)
        self.written[name] = value

    def identify(self) -> None:
        """Compare identifier, ISA version and config hash; Mismatch says what was expected."""
        found = self.read("id")
        if found != reg.IDENTIFIER:
            raise Mismatch(
                f"the identifier register reads {found:#010x}, not {reg.IDENTIFIER:#010x}",
                "check the base address and that a Weft bitstream is loaded",
            )
        version = self.read("isa_version")
        # An accelerator of a later minor version runs older programs; an older one refuses fields.
        if version >> 8 != ISA_VERSION >> 8 or version < ISA_VERSION:
            raise Mismatch(
                f"the accelerator has ISA version {version >> 8}.{version & 255}, "
                f"this software has {ISA_VERSION >> 8}.{ISA_VERSION & 255}",
                "use software and bitstream of the same release",
            )
        words = self.read("config_hash_high"), self.read("config_hash_low")
        found_hash = f"{words[0]:08x}{words[1]:08x}"
        if found_hash != self.config.hash:
            raise Mismatch(
                f"the accelerator has config hash {found_hash}, "
                f"{self.config.name} has {self.config.hash}",
                "load the bitstream of this configuration, or name the other one",
            )

    # -- a run ------------------------------------------------------------------------------------

    def select(self, program: Program) -> None:
        """Point the registers at `program`, whose image is in the arena."""
        self.program, self.patched = program, {}
        self.configure(program.arena_bytes, program.program_offset, len(program.instructions))

    def configure(self, arena_bytes: int, program_offset: int, program_length: int) -> None:
        """Set arena, program, watchdog and interrupt registers, where they are not as wanted.

        Parameters
        ----------
        arena_bytes : int
            Limit of every DMA access, from the start of the transport's arena.
        program_offset : int, bytes, multiple of 256
        program_length : int, instructions
        """
        address = self.transport.arena_address
        if address % 4096:
            raise UsageError(f"the arena must start at a multiple of 4096, not at {address:#x}")
        values = {
            "arena_base_low": address & 0xFFFF_FFFF,
            "arena_base_high": address >> 32,
            "arena_bytes": arena_bytes,
            "program_offset": program_offset,
            "program_length": program_length,
            "watchdog": self.watchdog_cycles,
            "irq_enable": reg.IRQ_DONE | reg.IRQ_ERROR,
        }
        for name, value in values.items():
            if self.written.get(name) != value:
                self.write(name, value)

    def run(self, timeout_cycles: int) -> None:
        """Start the loaded program and wait until it is done.

        After an error the core is reset by the next start, so the device stays usable.

        Raises
        ------
        DeviceError
            The core stopped with an error, or is not done after `timeout_cycles` cycles.
        """
        self.start()
        if not self.transport.wait(timeout_cycles):
            status, done = self.read("status"), self.read("instructions")
            raise DeviceError(
                f"the program is not done after {self.transport.limit(timeout_cycles)}: status "
                f"{status:#x}, {done} instructions retired",
                "raise the timeout, or set a watchdog to learn which unit waits",
            )
        status = self.read("status")
        self.write("irq_pending", reg.IRQ_DONE | reg.IRQ_ERROR)
        self.transport.invalidate()
        self.transport.check()
        if status & reg.STATUS_ERROR:
            raise self.error()
        if not status & reg.STATUS_DONE:
            raise DeviceError(f"the interrupt came, but the status is {status:#x}, not done")

    def start(self) -> None:
        """Ring the doorbell, after :meth:`settle`, which see for what it raises."""
        self.settle()
        self.write("irq_pending", reg.IRQ_DONE | reg.IRQ_ERROR)
        self.transport.flush()
        self.write("control", reg.CONTROL_START)

    def settle(self) -> None:
        """Soft reset, where the run before did not end well: after it nothing of that run can still
        write into the arena. To be called before the host writes there; raises as :meth:`reset`.
        """
        if self.read("status") & (reg.STATUS_ERROR | reg.STATUS_RUNNING | reg.STATUS_BUS_BUSY):
            self.reset()

    def reset(self) -> None:
        """Soft reset; returns when no burst is outstanding any more.

        Raises
        ------
        DeviceError
            The memory never answers some burst.
        """
        self.written.clear()
        self.write("control", reg.CONTROL_RESET)
        for _ in range(_IDLE_POLLS):
            if not self.read("status") & (reg.STATUS_BUS_BUSY | reg.STATUS_RUNNING):
                return
        raise DeviceError(
            "the bus is not idle after a soft reset: the memory does not answer bursts of the "
            "aborted run",
            "reload the bitstream, or reset the board",
        )

    def error(self) -> DeviceError:
        """What the error registers say, as an exception that names the instruction."""
        code, index = self.read("error_code"), self.read("error_instruction")
        known = code in ErrorCode._value2member_map_
        name = ErrorCode(code).name if known else "unknown"
        text = ERROR_TEXT[ErrorCode(code)] if known else "this software does not know the code"
        where = f"at instruction {index}"
        if index == _NO_INSTRUCTION:
            index, where = -1, "while instructions were fetched"
        elif self.program is not None and index < len(self.program.instructions):
            instruction = self.patched.get(index, self.program.instructions[index])
            where += f" ({format_instruction(instruction)})"
            node = self.program.node_of(index)
            where += f", in node {node}" if node is not None else ""
        return DeviceError(
            f"the accelerator stopped with {name} ({code}): {text}, {where}",
            error_code=code,
            instruction=index,
        )

    def counters(self) -> dict[str, int]:
        """All performance counters by name; those of a unit that this configuration leaves out
        are 0."""
        present = {counter.name for counter in unit_counters(units_of(self.config))}
        return {name: self.read(name) if name in present else 0 for name in reg.COUNTERS}
