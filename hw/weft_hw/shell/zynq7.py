"""The whole design of a Zynq-7000 without vendor tools: processing system, bridge, core."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer

from ..boards import Board
from ..config import AcceleratorConfig
from ..control.axilite import AxiLitePort
from ..verilog import TOP_NAME
from .bridge import Axi3ToLite

__all__ = ["SHELL_NAME", "ShellError", "Zynq7Shell", "emit_shell"]

SHELL_NAME = "weft_shell"
#: Registers between the asynchronous reset of the processing system and the logic.
_RESET_STAGES = 3
#: Pins of S_AXI_HPn that are not as wide as the core's (UG585, chapter 5).
_HP_WIDTHS = {"ARID": 6, "AWID": 6, "WID": 6, "BID": 6, "RID": 6, "ARSIZE": 2, "AWSIZE": 2}
#: Inputs of the processing system that have to stay low (PG082 ties them so where unused).
_LOW = {"FCLKCLKTRIGN": 4, "FPGAIDLEN": 1, "DDRARB": 4}


class ShellError(ValueError):
    """The hard ports of a Zynq-7000 cannot carry a configuration without an adapter."""


class Zynq7Shell(wiring.Component):
    """A design without pins: PS7, a clock buffer, the bridge to the registers, and ``weft_top``.

    The processing system gives clock 0 and reset 0, reaches the registers through M_AXI_GP0, and
    takes the core's masters on the S_AXI_HP ports of the board's table. The core's interrupt is
    number 0 of IRQF2P, which is 61 of the processor. The reset is asserted without a clock and
    released with it.

    Parameters
    ----------
    config : AcceleratorConfig
        With AXI3 masters of 64 bits: those connect to the hard ports as they are.
    board : Board
        A Zynq-7000.
    ports : mapping
        Those of ``weft_top``, as the side file of ``verilog.emit`` has them.

    Raises
    ------
    ShellError
        The sentence says what does not match.
    """

    def __init__(
        self, config: AcceleratorConfig, board: Board, ports: Mapping[str, Mapping[str, object]]
    ) -> None:
        if board.system.zynqmp:
            raise ShellError(f"{board.name} is no Zynq-7000")
        if (config.axi_protocol, config.axi_data_bits) != ("axi3", 64):
            raise ShellError(
                f"its ports take AXI3 with 64 bits, {config.name} has "
                f"{config.axi_protocol.upper()} with {config.axi_data_bits}"
            )
        self.config, self.board, self.ports = config, board, ports
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.bridge = bridge = Axi3ToLite(self.board.system.base_address)
        clocks, resets = Signal(4), Signal(4)
        core = {n: Signal(port["width"], name=f"core_{n}") for n, port in self.ports.items()}
        outputs = {n for n, port in self.ports.items() if port["direction"] == "out"}
        pins: dict[str, object] = {
            "o_FCLKCLK": clocks,
            "o_FCLKRESETN": resets,
            "i_IRQF2P": Cat(core["irq"], Const(0, 19)),
            **{f"i_{name}": Const(0, width) for name, width in _LOW.items()},
            **self._general_purpose(m, bridge),
        }
        for index, number in enumerate(self.board.system.port_numbers(self.config.axi_ports)):
            ours = {n: s for n, s in core.items() if n.startswith(f"m_axi{index}_")}
            pins |= self._high_performance(m, ours, outputs, number)
        m.submodules.ps7 = Instance("PS7", **pins)
        m.submodules.clock = Instance("BUFG", i_I=clocks[0], o_O=ClockSignal())
        m.submodules.reset = ResetSynchronizer(~resets[0], stages=_RESET_STAGES)
        m.d.comb += [core["aclk"].eq(ClockSignal()), core["aresetn"].eq(~ResetSignal())]
        for name in AxiLitePort().members:
            ours, theirs = core[f"s_axil_{name}"], getattr(bridge, f"m_axil_{name}")
            out = f"s_axil_{name}" in outputs
            m.d.comb += theirs.eq(ours) if out else ours.eq(theirs)
        m.submodules.core = Instance(
            TOP_NAME, **{f"{'o' if n in outputs else 'i'}_{n}": s for n, s in core.items()}
        )
        return m

    @staticmethod
    def _general_purpose(m: Module, bridge: Axi3ToLite) -> Mapping[str, object]:
        """Pins of M_AXI_GP0."""
        pins: dict[str, object] = {"i_MAXIGP0ACLK": ClockSignal()}
        for name, member in bridge.signature.members.items():
            if name.startswith("s_axi_"):
                direction = "o" if member.flow is wiring.In else "i"
                pin = name.removeprefix("s_axi_").upper()
                pins[f"{direction}_MAXIGP0{pin}"] = getattr(bridge, name)
        return pins

    @staticmethod
    def _high_performance(
        m: Module, ours: Mapping[str, Signal], outputs: Set[str], number: int
    ) -> Mapping[str, object]:
        """Pins of S_AXI_HP`number`, connected to the master whose members are `ours`."""
        pins: dict[str, object] = {f"i_SAXIHP{number}ACLK": ClockSignal()}
        for name, signal in ours.items():
            pin = name.split("_")[-1].upper()
            width = _HP_WIDTHS.get(pin, len(signal))
            theirs = Signal(width, name=f"hp{number}_{pin.lower()}")
            if name in outputs:
                m.d.comb += theirs.eq(signal)
                pins[f"i_SAXIHP{number}{pin}"] = theirs
            else:
                m.d.comb += signal.eq(theirs)
                pins[f"o_SAXIHP{number}{pin}"] = theirs
        for enable in ("RDISSUECAP1EN", "WRISSUECAP1EN"):
            pins[f"i_SAXIHP{number}{enable}"] = Const(0, 1)
        return pins


def emit_shell(config: AcceleratorConfig, board: Board, directory: Path) -> Path:
    """Write ``weft_shell.v`` beside the ``weft_top`` that ``verilog.emit`` wrote there.

    Raises
    ------
    ShellError
        As :class:`Zynq7Shell`.
    """
    ports = json.loads((directory / f"{TOP_NAME}.json").read_text())["ports"]
    shell = Zynq7Shell(config, board, ports)
    path = directory / f"{SHELL_NAME}.v"
    path.write_text(
        verilog.convert(shell, name=SHELL_NAME, emit_src=False, strip_internal_attrs=True)
    )
    return path
