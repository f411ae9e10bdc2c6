"""R lanes: taps times pixels, sums, requantisation, table."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..compute.requantise import Requantise, SetupLayout
from ..config import PARAMETER_BYTES, AcceleratorConfig
from ..delay import delay
from ..isa import TAP_PARAMETERS, TAPS
from ..memory.parameters import EntryLayout
from ..memory.table import TableMemory
from ..numerics import MULTIPLIER_BITS, SHIFT_BITS
from ..repeat import MAX_ENABLES, repeated

__all__ = ["Lanes"]

#: Bits of a sum.
SUM_BITS = 32


class Lanes(wiring.Component):
    """Lines of pixels and taps in, lines of results out.

    Half of the lanes' sums are requantised in one cycle, the other half in the next, so there is a
    lane of :class:`Requantise` for two.

    Members
    -------
    pixels, taps : In(ArrayLayout(8 * R, TAPS))
        With what follows.
    fire : In(1)
        They are multiplied, and added to the sums.
    first : In(1)
        The sums begin anew, with the bias.
    emit : In(1)
        The sums are a result; not in two cycles after each other.
    parameters : In(1), which : In
        In the next cycle `taps` is word `which` of a block's parameters; not within ``GAP`` cycles
        behind an `emit`.
    setup : In(SetupLayout), table_enable : In(1), table : In(4)
        Steady while anything is in flight.
    line : Out(8 * R), valid : Out(1)
    table_write_en, table_write_address, table_write_data : In

    Latency
    -------
    ``LATENCY`` cycles from `emit` to `line`.
    """

    #: Products, their sum, the sums of the lanes.
    SUM = 3
    LATENCY = SUM + Requantise.LATENCY + TableMemory.LATENCY + 1
    GAP = 5

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        lines = data.ArrayLayout(8 * config.line_bytes, TAPS)
        table_bits = (config.tables * 256 - 1).bit_length()
        super().__init__(
            {
                "pixels": In(lines),
                "taps": In(lines),
                "fire": In(1),
                "first": In(1),
                "emit": In(1),
                "parameters": In(1),
                "which": In(range(TAP_PARAMETERS)),
                "setup": In(SetupLayout),
                "table_enable": In(1),
                "table": In(4),
                "line": Out(8 * config.line_bytes),
                "valid": Out(1),
                "table_write_en": In(1),
                "table_write_address": In(table_bits),
                "table_write_data": In(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, half = self.config.rows, self.config.rows // 2
        parameters = self._parameters(m)
        fire = delay(m, self.fire, 1, name="fire", reset=True)
        parts = -(-lanes * SUM_BITS // MAX_ENABLES)
        fires = repeated(m, fire, parts, name="fires", init=0)
        first = delay(m, self.first, 2, name="first")
        emit = delay(m, self.emit, self.SUM, name="emit", reset=True)
        second = delay(m, emit, 1, name="second", reset=True)
        sums = []
        for c in range(lanes):
            products = []
            for t in range(TAPS):
                product = Signal(signed(16), name=f"product{c}_{t}", reset_less=True)
                pixel = self.pixels[t].word_select(c, 8).as_signed()
                tap = self.taps[t].word_select(c, 8).as_signed()
                m.d.sync += product.eq(pixel * tap)
                products.append(product)
            column = Signal(signed(18), name=f"column{c}", reset_less=True)
            total = Signal(signed(SUM_BITS), name=f"sum{c}", reset_less=True)
            m.d.sync += column.eq(sum(products[1:], products[0]))
            with m.If(fires[c * parts // lanes]):
                m.d.sync += total.eq(Mux(first, parameters[c].bias, total) + column)
            sums.append(total)

        results = []
        for j in range(half):
            # Its turn is the next cycle, and no other.
            waiting = Signal(signed(SUM_BITS), name=f"waiting{j}", reset_less=True)
            m.d.sync += waiting.eq(sums[half + j])
            lane = Requantise()
            m.submodules[f"requantise{j}"] = lane
            chosen = Signal(MULTIPLIER_BITS + SHIFT_BITS, name=f"chosen{j}")
            m.d.comb += [
                lane.acc.eq(Mux(emit, sums[j], waiting)),
                # The multiplier is in force a cycle behind its sum.
                chosen.eq(
                    Mux(
                        second,
                        Cat(parameters[j].multiplier, parameters[j].shift),
                        Cat(parameters[half + j].multiplier, parameters[half + j].shift),
                    )
                ),
                lane.multiplier.eq(chosen[:MULTIPLIER_BITS]),
                lane.shift.eq(chosen[MULTIPLIER_BITS:]),
                lane.setup.eq(self.setup),
            ]
            results.append(lane.result[:8])

        outputs = []
        for p in range(half // 2):
            table = TableMemory(self.config)
            m.submodules[f"table{p}"] = table
            m.d.comb += [
                table.en.eq(self.table_enable),
                table.write_en.eq(self.table_write_en),
                table.write_address.eq(self.table_write_address),
                table.write_data.eq(self.table_write_data),
            ]
            for k in range(2):
                result = results[2 * p + k]
                value = delay(m, result, TableMemory.LATENCY, name=f"value{p}_{k}")
                address = table.address[k]
                m.d.comb += address.eq(Cat(result, self.table)[: len(address)])
                outputs.append(Mux(self.table_enable, table.data[k], value))
        m.d.comb += [
            self.line.eq(Cat(delay(m, Cat(outputs), 1, name="lower"), *outputs)),
            self.valid.eq(delay(m, emit, self.LATENCY - self.SUM, name="valid", reset=True)),
        ]
        return m

    def _parameters(self, m: Module) -> list[Signal]:
        """Bias, multiplier and shift of each lane."""
        each = self.config.line_bytes // PARAMETER_BYTES  # entries in a word of a tap
        together = each * TAPS
        found: list[Signal] = []
        for which in range(-(-self.config.rows // together)):
            taken = self.parameters & (self.which == which)
            parts = -(-together * EntryLayout.size // MAX_ENABLES)
            takes = repeated(m, taken, parts, name=f"takes{which}_", init=0)
            for i in range(min(together, self.config.rows - len(found))):
                tap, at = divmod(i, each)
                entry = Signal(EntryLayout, name=f"entry{len(found)}", reset_less=True)
                word = self.taps[tap].word_select(at, 8 * PARAMETER_BYTES)
                with m.If(takes[i * parts // together]):
                    m.d.sync += entry.as_value().eq(word)
                found.append(entry)
        return found

