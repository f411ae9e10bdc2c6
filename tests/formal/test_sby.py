"""The proof helper proves what is true, and refuses what is not."""

import pytest
from amaranth.hdl import Assert, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from sby import Refuted, prove


class Counter(wiring.Component):
    """Counts to nine; claims never to pass `limit`."""

    en: In(1)

    def __init__(self, limit: int):
        self.limit = limit
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        count = Signal(4)
        with m.If(self.en & (count != 9)):
            m.d.sync += count.eq(count + 1)
        m.d.comb += Assert(count <= self.limit)
        return m


def test_true(tmp_path):
    prove(Counter(9), tmp_path, depth=12)


def test_false(tmp_path):
    with pytest.raises(Refuted, match="failed"):
        prove(Counter(8), tmp_path, mode="bmc", depth=12)
