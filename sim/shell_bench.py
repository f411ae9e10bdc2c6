"""The Verilog of a whole Zynq-7000 design as a module with the pins of the core.

``sim/models/ps7.v`` stands for the processing system; what is around it here connects the C++
harness to it, so that everything that runs on a core runs on the design that goes into the chip.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from weft_hw.boards import BOARDS
from weft_hw.config import AcceleratorConfig
from weft_hw.shell.zynq7 import emit_shell
from weft_hw.verilog import emit

__all__ = ["MODELS", "shell_verilog"]

MODELS = Path(__file__).parent / "models"
_BOARD = BOARDS["pynq-z2"]
#: Pins that the bench turns into accesses on M_AXI_GP0.
_LITE = {
    "awready": "ext_aw_wready",
    "wready": "ext_aw_wready",
    "bresp": "ext_bresp",
    "bvalid": "ext_bvalid",
    "arready": "ext_arready",
    "rdata": "ext_rdata",
    "rresp": "ext_rresp",
    "rvalid": "ext_rvalid",
}


def shell_verilog(config: AcceleratorConfig, target: str, folder: Path) -> str:
    """Text of a module ``weft_top`` with the ports of the core, and of everything below it."""
    core = emit(config, folder, target).read_text()
    shell = emit_shell(config, _BOARD, folder).read_text()
    ports = json.loads((folder / "weft_top.json").read_text())["ports"]
    # The outermost module takes the core's name, because the harness knows no other.
    core, found = re.subn(r"^module weft_top\b", "module weft_core", core, flags=re.MULTILINE)
    shell, used = re.subn(r"^  weft_top +core\b", "  weft_core core", shell, flags=re.MULTILINE)
    assert found == used == 1
    models = [(MODELS / name).read_text() for name in ("ps7.v", "dsp48.v")]
    return "\n".join([_bench(config, ports), shell, core, *models])


def _bench(config: AcceleratorConfig, ports: dict[str, dict]) -> str:
    lines, declared = [], []
    numbers = _BOARD.system.port_numbers(config.axi_ports)
    for name, port in ports.items():
        into = port["direction"] == "in"
        declared.append(f"{'input' if into else 'output'} [{port['width'] - 1}:0] {name}")
        bus, _, pin = name.rpartition("_")
        if bus.startswith("m_axi"):
            theirs = f"shell.ps7.SAXIHP{numbers[int(bus[5:])]}{pin.upper()}"
        elif bus == "s_axil" and pin.endswith("prot"):
            continue
        elif bus == "s_axil":
            theirs = "shell.ps7." + _LITE.get(pin, f"ext_{pin}")
        else:
            continue
        base = f"32'h{_BOARD.system.base_address:x}"
        value = f"{base} + {name}" if pin in ("awaddr", "araddr") else name
        if into:
            lines.append(f"assign {theirs} = {value};")
        else:
            lines.append(f"assign {name} = {theirs};")
    lines += [
        "assign shell.ps7.ext_clock = aclk;",
        "assign shell.ps7.ext_reset_n = aresetn;",
        "assign irq = shell.ps7.IRQF2P[0];",
        "weft_shell shell ();",
    ]
    body = "\n".join(f"    {line}" for line in lines)
    return f"module weft_top ({', '.join(declared)});\n{body}\nendmodule\n"
