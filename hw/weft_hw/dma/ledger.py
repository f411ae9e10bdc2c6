"""Transfers in flight: prepared for the walkers, known by slot, retired in order."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import GRANULE_BYTES, AcceleratorConfig
from ..interface import INDEX_BITS, POST_BITS, Retire, StartLayout, field
from ..isa import LAYOUTS, Opcode
from .layouts import SLOTS, TAG_BITS, length_bits, transfer_layout

__all__ = ["Ledger"]


class Ledger(wiring.Component):
    """Turns started instructions into transfers, and finished transfers into retirements.

    Rows that touch, in the arena and on chip, merge: the transfer becomes one row of rows * bytes.

    Parameters
    ----------
    config : the accelerator.
    opcode : LOAD or STORE.

    Members
    -------
    start : In(stream)
        Instructions in. One in 4 cycles; not ready while all slots are taken.
    transfer : Out(stream)
        To all walkers at once. 3 cycles after start.
    done : In
        Bit p pulses when port p has finished its part of its oldest transfer.
    hold : In(1)
        No retirement any more (a fault was found).
    retire : Out(Retire())
        Pulse with the posts of the oldest transfer, 1 cycle after the last ``done``.
    tag : In(TAG_BITS), index : Out(INDEX_BITS)
        Combinational look-up of the instruction index in a slot.
    busy : Out(1)
        A transfer is in flight.
    """

    def __init__(self, config: AcceleratorConfig, opcode: Opcode) -> None:
        self._config, self._opcode = config, opcode
        super().__init__(
            {
                "start": In(stream.Signature(StartLayout)),
                "transfer": Out(stream.Signature(transfer_layout(config))),
                "done": In(config.axi_ports),
                "hold": In(1),
                "retire": Out(Retire()),
                "tag": In(TAG_BITS),
                "index": Out(INDEX_BITS),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config

        def get(name: str) -> Value:
            return field(self.start.payload.word, self._opcode, name)

        beat_shift = (config.beat_bytes - 1).bit_length()
        granule_beats = GRANULE_BYTES // config.beat_bytes

        # Slots: a counter each way, and how many are taken.
        head, tail = Signal(TAG_BITS), Signal(TAG_BITS)
        taken = Signal(range(SLOTS + 1))
        starting, retiring = Signal(), Signal()
        m.submodules.posts = posts = memory.Memory(shape=POST_BITS, depth=SLOTS, init=[])
        m.submodules.indices = indices = memory.Memory(shape=INDEX_BITS, depth=SLOTS, init=[])
        first_post = LAYOUTS[self._opcode]["post0_enable"].offset
        raw_posts = self.start.payload.word[first_post : first_post + POST_BITS]
        for store, value in ((posts, raw_posts), (indices, self.start.payload.index)):
            write = store.write_port()
            m.d.comb += [write.addr.eq(tail), write.data.eq(value), write.en.eq(starting)]
        read_posts = posts.read_port(domain="comb")
        read_index = indices.read_port(domain="comb")
        m.d.comb += [
            read_posts.addr.eq(head),
            read_index.addr.eq(self.tag),
            self.index.eq(read_index.data),
            self.busy.eq(taken != 0),
        ]
        with m.If(starting):
            m.d.sync += tail.eq(tail + 1)
        with m.If(retiring):
            m.d.sync += head.eq(head + 1)
        m.d.sync += taken.eq(taken + starting - retiring)

        # Start: capture, multiply, choose, offer.
        transfer = Signal(transfer_layout(config), reset_less=True)
        granules = Signal(20, reset_less=True)  # of a row
        product = Signal(36, reset_less=True)  # granules of all rows
        limit_granules = 1 << 28  # 4 GiB; whatever is longer leaves the arena in any case
        merges = Signal(reset_less=True)
        m.d.comb += self.transfer.payload.eq(transfer)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [
                    self.start.ready.eq(taken != SLOTS),
                    starting.eq(self.start.valid & self.start.ready),
                ]
                m.d.sync += [
                    transfer.offset.eq(get("dram_offset") >> beat_shift),
                    transfer.pitch.eq(get("dram_pitch") >> beat_shift),
                    transfer.rows.eq(get("rows")),
                    transfer.chip.eq(get("chip_address") >> (beat_shift - 2)),
                    transfer.chip_pitch.eq(get("chip_pitch") >> (beat_shift - 2)),
                    transfer.space.eq(get("space")),
                    transfer.tag.eq(tail),
                    granules.eq(get("bytes") >> 4),
                ]
                if "fill" in LAYOUTS[self._opcode]:
                    m.d.sync += [
                        transfer.fill.eq(get("fill")),
                        transfer.value.eq(get("fill_value")),
                    ]
                with m.If(starting):
                    m.next = "Multiply"
            with m.State("Multiply"):
                length = granules * granule_beats
                m.d.sync += [
                    product.eq(granules * transfer.rows),
                    merges.eq((transfer.pitch == length) & (transfer.chip_pitch == length)),
                ]
                m.next = "Choose"
            with m.State("Choose"):
                merged = Mux(product >= limit_granules, limit_granules, product)
                m.d.sync += transfer.length.eq(Mux(merges, merged, granules) * granule_beats)
                with m.If(merges):
                    m.d.sync += transfer.rows.eq(1)
                m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += self.transfer.valid.eq(1)
                with m.If(self.transfer.ready):
                    m.next = "Idle"
        assert len(transfer.length) == length_bits(config)

        # Retirement: every port has finished at least one more transfer than were retired.
        finished = [Signal(range(SLOTS + 1), name=f"finished{p}") for p in range(config.axi_ports)]
        m.d.comb += retiring.eq(Cat(f != 0 for f in finished).all() & ~self.hold)
        for p, count in enumerate(finished):
            m.d.sync += count.eq(count + self.done[p] - retiring)
        m.d.comb += [self.retire.valid.eq(retiring), self.retire.posts.eq(read_posts.data)]
        return m
