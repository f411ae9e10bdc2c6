"""Weight buffer, parameter memory, tables and their loader under cocotb."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from weft_hw.config import PRESETS
from weft_hw.memory.parameters import ParameterMemory
from weft_hw.memory.table import TableLoader, TableMemory
from weft_hw.memory.weight_buffer import WeightBuffer

pytestmark = pytest.mark.sim


class Memories(wiring.Component):
    """One of each, side by side; the loader writes the tables."""

    def __init__(self, config):
        self.blocks = {
            "weights": WeightBuffer(config),
            "parameters": ParameterMemory(config),
            "loader": TableLoader(config),
            "table": TableMemory(config),
        }
        super().__init__({name: Out(block.signature) for name, block in self.blocks.items()})

    def elaborate(self, platform):
        m = Module()
        for name, block in self.blocks.items():
            m.submodules[name] = block
            for port, member in block.signature.members.items():
                outer, inner = getattr(getattr(self, name), port), getattr(block, port)
                if name == "table" and port.startswith("write"):
                    outer, inner = getattr(self.blocks["loader"], port), inner
                if not member.is_port:
                    wiring.connect(m, wiring.flipped(outer), inner)
                else:
                    m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset", ["tiny", "tiny-wide"])
def test_memories(bench, preset, stall):
    name = f"memories_{preset.replace('-', '_')}"
    dut = Memories(PRESETS[preset])
    assert bench(dut, "bench_memories", name=name, preset=preset, stall=stall).tests == 3
