"""Field checks of fetched instructions: the gateware side of ``isa.decode`` and ``isa.check``."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import GRANULE_BYTES, AcceleratorConfig
from ..interface import INDEX_BITS, INSTRUCTION_BITS, field, vector
from ..isa import (
    LAYOUTS,
    LOOP_LEVELS,
    POSTS,
    TAP_DELAY_MAX,
    UNITS,
    WAITS,
    ErrorCode,
    Opcode,
    ResultType,
    Space,
    UnitSpec,
    opcode_units,
    result_align_words,
)
from ..repeat import MAX_ENABLES, repeated
from .fetch import FetchedLayout

__all__ = ["Check", "checked_layout", "violations"]


def checked_layout(units: Sequence[UnitSpec] = UNITS) -> data.StructLayout:
    """A checked instruction; `unit` is who executes it, where `code` is NONE."""
    bits = max(spec.unit for spec in units).bit_length()
    return data.StructLayout(
        {"word": INSTRUCTION_BITS, "index": INDEX_BITS, "code": 4, "unit": bits}
    )


def _misaligned(value: Value, step: int) -> Value:
    """Whether `value` is no multiple of `step`, a power of two."""
    return value[: step.bit_length() - 1].any()


def violations(
    word: Value,
    opcode: Opcode,
    config: AcceleratorConfig,
    units: Sequence[UnitSpec] = UNITS,
) -> list[Value]:
    """Rules that `word`, an instruction with this opcode, breaks; one bit each.

    All rules of ``isa.decode`` and ``isa.check`` except the alignment of MATMUL's result address,
    which depends on the result type in force.
    """

    def get(name: str) -> Value:
        return field(word, opcode, name)

    rules = [word[LAYOUTS[opcode].used_bits :].any(), get("header_reserved").any()]
    spec = next(spec for spec in units if opcode in spec.opcodes)
    if not spec.may_wait:
        rules += [get(f"wait{i}_enable") for i in range(WAITS)]
    if not spec.may_post:
        rules += [get(f"post{i}_enable") for i in range(POSTS)]
    if opcode in (Opcode.LOAD, Opcode.STORE):
        last = Space.TAPS if config.tap_words else Space.TABLES
        rules.append(get("space") > (last if opcode is Opcode.LOAD else Space.SCRATCHPAD))
        rules += [get(name) == 0 for name in ("rows", "bytes")]
        for name in ("dram_offset", "dram_pitch", "bytes"):
            rules.append(_misaligned(get(name), GRANULE_BYTES))
        for name in ("chip_address", "chip_pitch"):
            rules.append(_misaligned(get(name), config.beat_bytes // 4))
    elif opcode is Opcode.SETUP:
        rules += [
            get("result_type") > max(ResultType),
            get("table") >= config.tables,
            get("per_row"),
            (get("table_enable") | get("residual")) & (get("result_type") != ResultType.INT8),
        ]
        for kind in ResultType:
            step = result_align_words(kind, config)
            jumps = Cat(*(_misaligned(j, step) for j in vector(word, opcode, "result_jump")))
            rules.append((get("result_type") == kind) & jumps.any())
    elif opcode is Opcode.DEPTHWISE:
        line = config.line_bytes // 4
        rules += [count == 0 for count in vector(word, opcode, "count")]
        rules += [get("skip") >= get("count2"), get("table") >= config.tables]
        rules += [(get(n) == 0) | (get(n) > TAP_DELAY_MAX) for n in ("delay1", "delay2")]
        rules += [_misaligned(get(n), line) for n in ("act_address", "result_address")]
        for name in ("act_jump", "result_jump"):
            jumps = vector(word, opcode, name)
            rules += [_misaligned(jump, line) for jump in jumps if jump is not None]
    elif opcode is Opcode.MATMUL:
        levels = get("tile_levels")
        rules += [count == 0 for count in vector(word, opcode, "count")]
        rules += [(levels == 0) | (levels >= LOOP_LEVELS), get("transposed")]
        rules += [get("reduction")[i] & (levels > i) for i in range(LOOP_LEVELS)]
    return rules


class Check(wiring.Component):
    """Give every instruction its verdict: NONE, BAD_OPCODE or BAD_FIELD.

    Accepts exactly what ``isa.decode`` and ``isa.check`` accept, with the result type of the last
    accepted SETUP (int8 before the first). A code that fetch gave passes through.

    Parameters
    ----------
    config : AcceleratorConfig
    units : sequence of UnitSpec
        Who executes what.

    Members
    -------
    i : ``In(stream.Signature(FetchedLayout))``
    o : ``Out(stream.Signature(checked_layout(units)))``

    Latency
    -------
    2 cycles; one instruction per 3 cycles, as a queue takes them; honours back-pressure. `i.ready`
    and all of `o` are registers.
    """

    LATENCY = 2
    PERIOD = 3

    def __init__(
        self, config: AcceleratorConfig, *, units: Sequence[UnitSpec] = UNITS
    ) -> None:
        self._config = config
        self._units = units
        super().__init__(
            {
                "i": In(stream.Signature(FetchedLayout)),
                "o": Out(stream.Signature(checked_layout(units))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, owner = self._config, opcode_units(self._units)
        opcodes = sorted(owner)

        # Cycle 0: all rules on the incoming word, one bit per opcode.
        full = Signal()
        held = Signal(FetchedLayout, reset_less=True)
        bad = Signal(len(opcodes), reset_less=True)
        is_opcode = Signal(len(opcodes), reset_less=True)
        misaligned = Signal(len(ResultType), reset_less=True)
        word = self.i.payload.word
        # While it is free it takes what is offered, whether that is valid or not.
        fills = Mux(full, ~(self.o.valid & self.o.ready), self.i.valid)
        m.d.comb += self.i.ready.eq(~full)
        m.d.sync += full.eq(fills)
        parts = -(-len(held.as_value()) // MAX_ENABLES)
        size = -(-len(held.as_value()) // parts)
        for i, empty in enumerate(repeated(m, ~fills, parts, name="empty", init=1)):
            here = slice(size * i, size * (i + 1))
            with m.If(empty):
                m.d.sync += held.as_value()[here].eq(self.i.payload.as_value()[here])
        with m.If(self.i.ready & self.i.valid):
            address = field(word, Opcode.MATMUL, "result_address")
            broken = [Cat(*violations(word, op, config, self._units)).any() for op in opcodes]
            m.d.sync += [
                bad.eq(Cat(broken)),
                is_opcode.eq(Cat(field(word, op, "opcode") == op for op in opcodes)),
                misaligned.eq(
                    Cat(_misaligned(address, result_align_words(t, config)) for t in ResultType)
                ),
            ]

        # Cycle 1: the verdict. The SETUP before was accepted by then.
        result_type = Signal(ResultType)
        is_bad = Signal()
        matmul, setup = opcodes.index(Opcode.MATMUL), opcodes.index(Opcode.SETUP)
        m.d.comb += [
            is_bad.eq(
                (bad & is_opcode).any()
                | (is_opcode[matmul] & misaligned.bit_select(result_type, 1))
            ),
            self.o.payload.word.eq(held.word),
            self.o.payload.index.eq(held.index),
        ]
        with m.If(full & ~self.o.valid):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.code.eq(held.code)]
            with m.If(held.code == ErrorCode.NONE):
                with m.If(~is_opcode.any()):
                    m.d.sync += self.o.payload.code.eq(ErrorCode.BAD_OPCODE)
                with m.Elif(is_bad):
                    m.d.sync += self.o.payload.code.eq(ErrorCode.BAD_FIELD)
            for i, opcode in enumerate(opcodes):
                with m.If(is_opcode[i]):
                    m.d.sync += self.o.payload.unit.eq(owner[opcode])

        # Cycle 2: offered.
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
            with m.If((self.o.payload.code == ErrorCode.NONE) & is_opcode[setup]):
                m.d.sync += result_type.eq(field(held.word, Opcode.SETUP, "result_type"))
        return m
