"""The whole design of a Zynq-7000 without vendor tools: processing system, bridge, core."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import wiring

from ..boards import Board
from ..config import AcceleratorConfig
from ..control.axilite import AxiLitePort
from ..verilog import TOP_NAME, text_of, write
from .bridge import Axi3ToLite
from .drain import Bursts, DrainedReset

__all__ = ["SHELL_NAME", "ShellError", "Zynq7Shell", "emit_shell"]

SHELL_NAME = "weft_shell"
#: Registers between the asynchronous reset of the processing system and the logic.
_RESET_STAGES = 3
#: Vivado places such registers together (UG901); Yosys makes no shift register of what is kept.
_SYNCHRONISER = {"ASYNC_REG": "TRUE", "keep": "true"}
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
    number 0 of IRQF2P, which is 61 of the processor.

    Reset 0 may come at any time: the core is reset when no burst is under way, on its ports and on
    M_AXI_GP0, because the processing system's ports live on and would give what they owe to the
    next program. Registers that are accessed meanwhile answer afterwards.

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
        # What lives through a reset of the core: its first values come with the configuration.
        m.domains.live = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal("live").eq(ClockSignal())
        live = DomainRenamer("live")
        bridge = Axi3ToLite(self.board.system.base_address)
        m.submodules.bridge = live(bridge)
        m.submodules.drained_reset = drained = live(DrainedReset())
        clocks, resets = Signal(4), Signal(4)
        core = {n: Signal(port["width"], name=f"core_{n}") for n, port in self.ports.items()}
        outputs = {n for n, port in self.ports.items() if port["direction"] == "out"}
        pins: dict[str, object] = {
            "o_FCLKCLK": clocks,
            "o_FCLKRESETN": resets,
            "i_IRQF2P": Cat(core["irq"], Const(0, 19)),
            **{f"i_{name}": Const(0, width) for name, width in _LOW.items()},
            **self._general_purpose(m, bridge, drained.hold),
        }
        idle = [bridge.idle]
        for index, number in enumerate(self.board.system.port_numbers(self.config.axi_ports)):
            prefix = f"m_axi{index}_"
            ours = {n: s for n, s in core.items() if n.startswith(prefix)}
            m.submodules[f"bursts{index}"] = bursts = live(Bursts())
            m.d.comb += bursts.hold.eq(drained.hold)
            idle.append(bursts.idle)
            outside = self._held(m, bursts, {n.removeprefix(prefix): s for n, s in ours.items()})
            theirs = {n: outside.get(n.removeprefix(prefix), s) for n, s in ours.items()}
            pins |= self._high_performance(m, theirs, outputs, number)
        m.d.comb += drained.idle.eq(Cat(*idle).all())
        m.submodules.ps7 = Instance("PS7", **pins)
        m.submodules.clock = Instance("BUFG", i_I=clocks[0], o_O=ClockSignal())
        wanted = ~resets[0]
        for stage in range(_RESET_STAGES):
            synchronised = Signal(name=f"reset_stage{stage}", init=1, attrs=_SYNCHRONISER)
            m.d.live += synchronised.eq(wanted)
            wanted = synchronised
        m.d.comb += [drained.wanted.eq(wanted), ResetSignal().eq(drained.reset)]
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
    def _held(m: Module, bursts: Bursts, ours: Mapping[str, Signal]) -> Mapping[str, Signal]:
        """Handshakes that :class:`Bursts` stands in, of the core's port `ours`, outside of it."""
        outside = {}
        for channel in ("ar", "aw", "w"):
            valid, ready = f"{channel}valid", f"{channel}ready"
            outside[valid], outside[ready] = getattr(bursts, valid), getattr(bursts, ready)
            m.d.comb += [
                getattr(bursts, f"core_{valid}").eq(ours[valid]),
                ours[ready].eq(getattr(bursts, f"core_{ready}")),
            ]
        for name in ("wlast", "rvalid", "rready", "rlast", "bvalid", "bready"):
            m.d.comb += getattr(bursts, name).eq(ours[name])
        return outside

    @staticmethod
    def _general_purpose(m: Module, bridge: Axi3ToLite, hold: Signal) -> Mapping[str, object]:
        """Pins of M_AXI_GP0; while `hold` is high, addresses wait in the processing system."""
        pins: dict[str, object] = {"i_MAXIGP0ACLK": ClockSignal()}
        for name, member in bridge.signature.members.items():
            if name.startswith("s_axi_"):
                direction = "o" if member.flow is wiring.In else "i"
                pin, signal = name.removeprefix("s_axi_").upper(), getattr(bridge, name)
                if pin in ("AWVALID", "ARVALID"):
                    outer = Signal(name=f"gp0_{pin.lower()}")
                    m.d.comb += signal.eq(outer & ~hold)
                    signal = outer
                elif pin in ("AWREADY", "ARREADY"):
                    signal = signal & ~hold
                pins[f"{direction}_MAXIGP0{pin}"] = signal
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
    ports = json.loads((directory / f"{TOP_NAME}.json").read_text(encoding="utf-8"))["ports"]
    shell = Zynq7Shell(config, board, ports)
    path = directory / f"{SHELL_NAME}.v"
    write(path, text_of(shell, SHELL_NAME))
    return path
