"""The banked scratchpad."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..interface import BeatWrite, ChipRead
from ..isa import LAYOUTS, Opcode
from ..repeat import KEEP
from ..target import check_target

__all__ = [
    "WORD_BITS",
    "LineRead",
    "LineWrite",
    "ResultWrite",
    "Scratchpad",
    "WordRead",
    "line_bits",
]

#: Bits of a word address, as instructions have them: words past the end of any scratchpad, too.
WORD_BITS = LAYOUTS[Opcode.MATMUL]["act_address"].width


def line_bits(config: AcceleratorConfig) -> int:
    """Bits of a line address that can also name lines past the end of the scratchpad."""
    return WORD_BITS - (config.line_bytes // 4 - 1).bit_length()


class WordRead(wiring.Signature):
    """Reads of the array: R bytes from any word on, every cycle; the data come a fixed number of
    cycles later."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {"en": Out(1), "word": Out(WORD_BITS), "data": In(8 * config.line_bytes)}
        )


class ResultWrite(data.StructLayout):
    """Write of two adjacent lines, an even one and its odd neighbour, each with its enable."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "valid": 1,
                "pair": unsigned(line_bits(config) - 1),
                "mask": 2,
                "data": unsigned(16 * config.line_bytes),
            }
        )


class LineRead(wiring.Signature):
    """Reads of a line; the data come ``Scratchpad.LINE_LATENCY`` cycles behind an accepted one."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "line": Out(line_bits(config)),
                "valid": Out(1),
                "ready": In(1),
                "data": In(8 * config.line_bytes),
            }
        )


class LineWrite(wiring.Signature):
    """Writes of a line."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "line": Out(line_bits(config)),
                "data": Out(8 * config.line_bytes),
                "valid": Out(1),
                "ready": In(1),
            }
        )


class Scratchpad(wiring.Component):
    """Independent 1R+1W banks, contiguous in address; each an even and an odd memory of R-byte
    lines.

    A read of the array begins at any word, so it takes a line, or the end of one and the beginning
    of the next, which is in the other memory of the same or the next bank. A rotator puts the words
    in order.

    Array reads and result writes always proceed. What meets them waits a cycle: a store read, and a
    write of the depthwise unit. A read of the depthwise unit also waits for a store, which is short
    and which others wait for, and a load write for one of the depthwise unit. Reads meet in a
    memory of a bank, the even or the odd one, writes in a bank. `depthwise_conflict`,
    `read_conflict` and `write_conflict` report it. Addresses past the end write nothing and read no
    particular value. Without ``config.tap_words`` nobody may drive the ports of the depthwise unit.

    Parameters
    ----------
    config : AcceleratorConfig
    target : str
        Says which kind of memory the banks are: ``target.TARGETS``.

    Members
    -------
    array : In(WordRead(config))
        Read R bytes.
    store : In(ChipRead(config))
        Reads of D bytes.
    result : In(ResultWrite(config))
        Writes of two lines.
    load : In(BeatWrite(config))
        Writes of D bytes at a D-aligned address, by beats.
    depthwise_read : In(LineRead(config)), depthwise_write : In(LineWrite(config))
        Reads and writes of a line.
    read_conflict, write_conflict, depthwise_conflict : Out(1)
        A store read, a load write, or a read or write of the depthwise unit waits.

    Latency
    -------
    ``LATENCY = 6`` cycles from `array.en` to its data, ``STORE_LATENCY = 3`` from an accepted
    store read to its data, ``LINE_LATENCY = 3`` from an accepted line read; a write is seen by a
    read that is presented ``WRITE_LATENCY = 2`` cycles after it.
    """

    LATENCY = 6
    STORE_LATENCY = 3
    LINE_LATENCY = 3
    WRITE_LATENCY = 2

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.config = config
        packing = check_target(target)
        self._style = packing.ram_style(scratchpad=True) if packing else {}
        super().__init__(
            {
                "array": In(WordRead(config)),
                "store": In(ChipRead(config)),
                "result": In(ResultWrite(config)),
                "load": In(BeatWrite(config)),
                "depthwise_read": In(LineRead(config)),
                "depthwise_write": In(LineWrite(config)),
                "read_conflict": Out(1),
                "write_conflict": Out(1),
                "depthwise_conflict": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        line = cfg.line_bytes
        depth = cfg.scratchpad_bank_bytes // (2 * line)
        row_bits = (depth - 1).bit_length()
        lines_per_dma = cfg.dma_bytes // line
        beats = 2 * line // cfg.beat_bytes

        banks = range(cfg.scratchpad_banks)
        select_bits = (cfg.scratchpad_banks - 1).bit_length()

        def bank_of(pair: Value) -> Value:
            return pair[row_bits:]

        def banks_of(pair: Value, valid: Value) -> Value:
            return Cat(valid & (bank_of(pair) == b) for b in banks)

        # Reads, cycle 0: the pair of lines that each half reads, and whether it does; cycle 1: its
        # bank; cycle 2: arbitration at the banks.
        word_bits = (line // 4 - 1).bit_length()
        within, first = self.array.word[:word_bits], self.array.word[word_bits:]
        odd_first, beyond = first[0], within.any()
        array_en = Signal()
        array_within = Signal(word_bits, reset_less=True)
        array_odd_first = Signal(reset_less=True)
        m.d.sync += [
            array_en.eq(self.array.en),
            array_within.eq(within),
            array_odd_first.eq(odd_first),
        ]
        array_here, array_row, array_bank = [], [], []
        for half, (pair, needs) in enumerate(
            ((first[1:] + odd_first, ~odd_first | beyond), (first[1:], odd_first | beyond))
        ):
            wanted = Signal(line_bits(cfg) - 1, name=f"array_pair{half}", reset_less=True)
            used = Signal(name=f"array_used{half}", reset_less=True)
            here = Signal(cfg.scratchpad_banks, name=f"array_here{half}")
            row = Signal(row_bits, name=f"array_row{half}", reset_less=True)
            m.d.sync += [
                wanted.eq(pair),
                used.eq(needs),
                here.eq(banks_of(wanted, array_en & used)),
                row.eq(wanted[:row_bits]),
            ]
            array_here.append(here)
            array_row.append(row)
            array_bank.append(bank_of(wanted))
        store_line = self.store.address if lines_per_dma == 1 else Cat(0, self.store.address)
        store_pair = store_line[1:]
        store_bank_here = banks_of(store_pair, Const(1))
        # A store that reads one line needs one memory of its bank, the even one or the odd one.
        array_of_store = array_here[0] | array_here[1]
        if lines_per_dma == 1:
            array_of_store = Mux(store_line[0], array_here[1], array_here[0])
        clash = (store_bank_here & array_of_store).any()
        store_here = banks_of(store_pair, self.store.valid)
        store_halves = [store_here, store_here]
        if lines_per_dma == 1:
            of_half = (~store_line[0], store_line[0])
            store_halves = [store_here & of.replicate(cfg.scratchpad_banks) for of in of_half]
        # So does a line. `ready` does not look at `valid`, which comes late, nor at whether there
        # is such a line.
        line_pair, line_half = self.depthwise_read.line[1:], self.depthwise_read.line[0]
        line_bank_here = Cat(bank_of(line_pair)[:select_bits] == b for b in banks)
        line_clash = (line_bank_here & Mux(line_half, array_here[1], array_here[0])).any()
        same = bank_of(line_pair)[:select_bits] == bank_of(store_pair)[:select_bits]
        if lines_per_dma == 1:
            same &= line_half == store_line[0]
        line_clash |= self.store.valid & same
        line_here = banks_of(line_pair, self.depthwise_read.valid)
        line_go = line_here & (~line_clash).replicate(cfg.scratchpad_banks)
        has_lines = bool(cfg.tap_words)
        store_go = Signal()
        m.d.comb += [
            self.store.ready.eq(~clash),
            store_go.eq(self.store.valid & ~clash),
            self.read_conflict.eq(self.store.valid & clash),
        ]

        # Writes, cycle 0: arbitration, and who writes which beats of which row of a bank; cycle 1:
        # at the banks, where a multiplexer is all that is left in front of the data.
        load_line = self.load.address if lines_per_dma == 1 else Cat(0, self.load.address)
        load_pair = load_line[1:]
        write_clash = self.result.valid & (bank_of(self.result.pair) == bank_of(load_pair))
        wide = self.depthwise_write
        wide_pair = wide.line[1:]
        wide_clash = self.result.valid & (bank_of(self.result.pair) == bank_of(wide_pair))
        if has_lines:
            # Past the end a bank may seem to be another one; then the load waits for nothing.
            write_clash |= wide.valid & (
                bank_of(wide_pair)[:select_bits] == bank_of(load_pair)[:select_bits]
            )
        m.d.comb += [
            self.load.ready.eq(~write_clash),
            self.write_conflict.eq(self.load.valid & write_clash),
            wide.ready.eq(~wide_clash),
            self.depthwise_read.ready.eq(~line_clash),
            self.depthwise_conflict.eq(
                (self.depthwise_read.valid & line_clash) | (wide.valid & wide_clash)
            ),
        ]
        if lines_per_dma == 1:
            load_mask = Cat(
                Mux(load_line[0], 0, self.load.mask)[: cfg.axi_ports],
                Mux(load_line[0], self.load.mask, 0)[: cfg.axi_ports],
            )
        else:
            load_mask = self.load.mask
        result_data = Signal(16 * line, reset_less=True)
        load_data = Signal(8 * cfg.dma_bytes, reset_less=True)
        wide_data = Signal(8 * line, reset_less=True)
        m.d.sync += [
            result_data.eq(self.result.data),
            load_data.eq(self.load.data),
            wide_data.eq(wide.data),
        ]
        wide_load = load_data.replicate(2 // lines_per_dma)
        result_mask = Cat(self.result.mask[half].replicate(beats // 2) for half in range(2))

        halves: list[list[Value]] = [[], []]
        result_here = banks_of(self.result.pair, self.result.valid)
        load_here = banks_of(load_pair, self.load.valid)
        wide_here = banks_of(wide_pair, wide.valid)
        for b in banks:
            others = load_pair
            if has_lines:
                others = Mux(wide_here[b], wide_pair, load_pair)
            write_row = Signal(row_bits, name=f"write_row{b}", reset_less=True)
            m.d.sync += write_row.eq(Mux(result_here[b], self.result.pair, others)[:row_bits])
            for half in range(2):
                bank = memory.Memory(
                    shape=unsigned(8 * line), depth=depth, init=[], attrs=self._style
                )
                m.submodules[f"bank{b}_{'odd' if half else 'even'}"] = bank
                read = bank.read_port()
                write = bank.write_port(granularity=8 * cfg.beat_bytes)
                from_store = store_halves[half][b]
                en = array_here[half][b] | from_store
                rest = store_pair[:row_bits]
                if has_lines:
                    en |= line_go[b] & (line_half == half)
                    rest = Mux(from_store, store_pair, line_pair)[:row_bits]
                address = Mux(array_here[half][b], array_row[half], rest)
                out = Signal(8 * line, name=f"out{b}_{half}", reset_less=True)
                live = Signal(name=f"live{b}_{half}", reset_less=True)
                # A copy of the selection for every half of a bank: it has a load per bit.
                is_result = Signal(
                    name=f"is_result{b}_{half}", reset_less=True, attrs=KEEP
                )
                beats_here = slice(beats // 2 * half, beats // 2 * (half + 1))
                write_mask = Signal(beats // 2, name=f"write_mask{b}_{half}")
                rest_mask = load_mask[beats_here] & load_here[b].replicate(beats // 2)
                if has_lines:
                    is_wide = Signal(name=f"is_wide{b}_{half}", reset_less=True, attrs=KEEP)
                    m.d.sync += is_wide.eq(wide_here[b])
                    wide_mask = (wide.line[0] == half).replicate(beats // 2)
                    rest_mask = Mux(wide_here[b], wide_mask, rest_mask)
                m.d.sync += [
                    is_result.eq(result_here[b]),
                    write_mask.eq(Mux(result_here[b], result_mask[beats_here], rest_mask)),
                ]
                bits_here = slice(8 * line * half, 8 * line * (half + 1))
                rest_data = wide_load[bits_here]
                if has_lines:
                    rest_data = Mux(is_wide, wide_data, rest_data)
                m.d.comb += [
                    read.addr.eq(address),
                    read.en.eq(en),
                    write.addr.eq(write_row),
                    write.data.eq(Mux(is_result, result_data[bits_here], rest_data)),
                    write.en.eq(write_mask),
                ]
                # Block RAM output register.
                m.d.sync += live.eq(en)
                with m.If(live):
                    m.d.sync += out.eq(read.data)
                halves[half].append(out)

        # Cycle 4: choose the bank of each half. Cycle 5: turn the words of both into place.
        selectable = 1 << select_bits
        padded = [h + [Signal(8 * line, name="none")] * (selectable - len(h)) for h in halves]
        array_halves = []
        for half in range(2):
            bank_there = delay(m, array_bank[half][:select_bits], 3, name=f"array_bank{half}")
            chosen_line = Signal(8 * line, name=f"array_line{half}", reset_less=True)
            m.d.sync += chosen_line.eq(Array(padded[half])[bank_there])
            array_halves.append(chosen_line)
        turn = delay(m, Cat(array_within, array_odd_first), 4, name="array_turn")
        store_bank = delay(m, bank_of(store_pair)[:select_bits], 2, name="store_bank")
        store_odd = delay(m, store_line[0], 2, name="store_odd")
        array_data = Signal(8 * line, reset_less=True)
        store_data = Signal(8 * cfg.dma_bytes, reset_less=True)
        m.d.sync += array_data.eq(_turned(array_halves, turn))
        # The store's banks a cycle earlier than the array's: it waits for none.
        even, odd = Array(padded[0])[store_bank], Array(padded[1])[store_bank]
        chosen = Cat(even, odd) if lines_per_dma == 2 else Mux(store_odd, odd, even)
        m.d.sync += store_data.eq(chosen)
        if has_lines:
            line_bank = delay(m, bank_of(line_pair)[:select_bits], 2, name="line_bank")
            line_odd = delay(m, line_half, 2, name="line_odd")
            line_data = Signal(8 * line, reset_less=True)
            even, odd = Array(padded[0])[line_bank], Array(padded[1])[line_bank]
            m.d.sync += line_data.eq(Mux(line_odd, odd, even))
            m.d.comb += self.depthwise_read.data.eq(line_data)
        m.d.comb += [
            self.array.data.eq(array_data),
            self.store.data.eq(store_data),
            self.store.data_valid.eq(delay(m, store_go, 3, name="store_valid", reset=True)),
        ]
        return m


def _turned(halves: list[Value], turn: Value) -> Value:
    """The words of an even and an odd line, from word `turn` of the even one on, as in a ring."""
    words = [half.word_select(j, 32) for half in halves for j in range(len(halves[0]) // 32)]
    number = len(words) // 2
    return Cat(
        Array([words[(j + start) % len(words)] for start in range(len(words))])[turn]
        for j in range(number)
    )
