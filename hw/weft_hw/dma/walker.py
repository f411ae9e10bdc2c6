"""The bursts of one port in a striped transfer."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import BURST_BEATS, AcceleratorConfig
from ..isa import ErrorCode, Space, space_words
from .layouts import (
    Fault,
    chip_beat_bits,
    dram_beat_bits,
    length_bits,
    piece_layout,
    transfer_layout,
)

__all__ = ["Walker"]


class Walker(wiring.Component):
    """Walks a transfer and emits the bursts of the stripes that port `port` owns.

    Stripe s = offset / (16 * B) belongs to port s mod P. A burst never crosses a stripe. The last
    piece of a transfer carries ``last``; a port that owns nothing at the end emits a piece of no
    beats. A burst beyond the arena, or beyond its memory on chip, is not emitted: the walker stops
    with ``fault`` until reset.

    Parameters
    ----------
    config : the accelerator.
    port : which port, 0..P-1.

    Members
    -------
    transfer : In(stream)
        Transfers in; one waits while one is walked.
    piece : Out(stream)
        Bursts out; one in 2 cycles, as a bus port takes them, 2 cycles per row, 3 more per
        transfer.
    arena_bytes : In
        Size of the arena.
    fault : Out(Fault())
        Level; ARENA or ADDRESS, ARENA where a burst breaks both.

    Latency
    -------
    5 cycles from a transfer to its first piece.
    """

    #: Transfer to its first piece; piece to piece; from the last piece of a row, or of a transfer,
    #: to the next.
    LATENCY = 5
    PERIOD = 2
    ROW_PERIOD = 2
    TRANSFER_PERIOD = 3

    def __init__(self, config: AcceleratorConfig, port: int) -> None:
        self._config, self._port = config, port
        super().__init__(
            {
                "transfer": In(stream.Signature(transfer_layout(config))),
                "piece": Out(stream.Signature(piece_layout(config))),
                "arena_bytes": In(32),
                "fault": Out(Fault()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, port = self._config, self._port
        ports = config.axi_ports
        dram_bits, chip_bits = dram_beat_bits(config), chip_beat_bits(config)
        beat_shift = (config.beat_bytes - 1).bit_length()
        port_bits = (ports - 1).bit_length()
        group_bits = 4 + port_bits  # one stripe of every port

        # One transfer waits here.
        waiting = Signal(transfer_layout(config), reset_less=True)
        has_waiting, take_waiting = Signal(), Signal()
        m.d.comb += self.transfer.ready.eq(~has_waiting)
        with m.If(self.transfer.ready):
            m.d.sync += [waiting.eq(self.transfer.payload), has_waiting.eq(self.transfer.valid)]
        with m.Elif(take_waiting):
            m.d.sync += has_waiting.eq(0)

        # Positions have one bit more than an address: once set, it stays, and every check fails.
        def advanced(position: Value, by: ValueLike) -> Value:
            bits = len(position) - 1
            total = Signal(bits + 1)
            m.d.comb += total.eq(position[:bits] + by)
            return Cat(total[:bits], total[bits] | position[bits])

        # Row: the start of the next row.
        walk = Signal(transfer_layout(config), reset_less=True)
        limit = Signal(chip_bits + 1, reset_less=True)  # beats of the memory on chip
        row_offset = Signal(dram_bits + 1, reset_less=True)
        row_chip = Signal(chip_bits + 1, reset_less=True)
        # Run: what is left of a row for this port.
        offset = Signal(dram_bits + 1, reset_less=True)
        chip = Signal(chip_bits + 1, reset_less=True)
        left = Signal(signed(length_bits(config) + 1), reset_less=True)
        row_last = Signal(reset_less=True)
        # Burst: cut to the stripe, with its stripe compared to the arena's last one, its end in the
        # stripe, and the room on chip. Piece: checked.
        burst = Signal(piece_layout(config), reset_less=True)
        burst_valid = Signal()
        arena_end = self.arena_bytes[beat_shift:]
        stripe_past, stripe_last = Signal(reset_less=True), Signal(reset_less=True)
        end_in_stripe = Signal(5, reset_less=True)
        chip_room = Signal(signed(chip_bits + 2), reset_less=True)
        chip_wrapped = Signal(reset_less=True)
        piece = Signal(piece_layout(config), reset_less=True)
        piece_valid = Signal()

        halted, advance = Signal(), Signal()
        m.d.comb += [
            # Not in the cycle in which a piece leaves: its ready would reach all registers here.
            advance.eq(~piece_valid & ~halted),
            self.piece.valid.eq(piece_valid),
            self.piece.payload.eq(piece),
        ]

        # Beats of the stripe before, and from, the position: registers, so that what is added to it
        # is no sum itself.
        into, room = Signal(4, reset_less=True), Signal(5, reset_less=True)
        step = Signal(group_bits + 1)  # beats to this port's next stripe
        more = Signal()
        m.d.comb += [step.eq(room + BURST_BEATS * (ports - 1)), more.eq(left > step)]

        # Of the row that comes next, a cycle ahead: beats from its start to the first stripe of
        # this port, and how far into the stripe that is.
        ahead = Signal(max(port_bits, 1))
        at = Signal(group_bits)
        skip, skip_into = Signal(group_bits, reset_less=True), Signal(4, reset_less=True)
        if port_bits:
            m.d.comb += ahead.eq(port - at[4:group_bits])
        m.d.sync += [
            skip.eq(Mux(ahead != 0, (ahead << 4) - at[:4], 0)),
            skip_into.eq(Mux(ahead != 0, 0, at[:4])),
        ]

        m.d.comb += at.eq(row_offset)
        with m.FSM() as fsm:
            with m.State("Take"):
                m.d.comb += [take_waiting.eq(has_waiting), at.eq(waiting.offset)]
                m.d.sync += [
                    walk.eq(waiting),
                    row_offset.eq(waiting.offset),
                    row_chip.eq(waiting.chip),
                ]
                with m.Switch(waiting.space):
                    for space in Space:
                        with m.Case(space):
                            m.d.sync += limit.eq(space_words(space, config) * 4 >> beat_shift)
                with m.If(has_waiting):
                    m.next = "Row"
            with m.State("Row"):
                m.d.sync += [
                    offset.eq(advanced(row_offset, skip)),
                    chip.eq(advanced(row_chip, skip)),
                    left.eq(walk.length - skip),
                    into.eq(skip_into),
                    room.eq(BURST_BEATS - skip_into),
                    row_last.eq(walk.rows == 1),
                    row_offset.eq(advanced(row_offset, walk.pitch)),
                    row_chip.eq(advanced(row_chip, walk.chip_pitch)),
                    walk.rows.eq(walk.rows - 1),
                ]
                m.next = "Run"
            with m.State("Run"), m.If(advance):
                m.d.sync += [
                    offset.eq(Cat(C(port << 4, group_bits), advanced(offset[group_bits:], 1))),
                    chip.eq(advanced(chip, step)),
                    left.eq(left - step),
                    into.eq(0),
                    room.eq(BURST_BEATS),
                ]
                with m.If(~more):
                    with m.If(row_last):
                        m.next = "Take"
                    with m.Else():
                        m.next = "Row"

        # Bits of `left`, where one comparison would be a carry chain in front of another.
        owned, cut, beats = Signal(), Signal(), Signal(5)
        m.d.comb += [
            owned.eq(left > 0),
            cut.eq(left[5:].any() | (left[:5] > room)),
        ]
        with m.If(~left[-1]):
            m.d.comb += beats.eq(Mux(cut, room, left[:5]))
        with m.If(self.piece.ready):
            m.d.sync += piece_valid.eq(0)
        with m.If(advance):
            m.d.sync += [
                burst_valid.eq(fsm.ongoing("Run") & (owned | row_last)),
                burst.offset.eq(offset),
                burst.beats.eq(beats),
                burst.chip.eq(chip),
                burst.space.eq(walk.space),
                burst.tag.eq(walk.tag),
                burst.fill.eq(walk.fill),
                burst.value.eq(walk.value),
                burst.last.eq(row_last & ~more),
                stripe_past.eq(offset[4:] > arena_end[4:]),
                stripe_last.eq(offset[4:] == arena_end[4:]),
                end_in_stripe.eq(Mux(cut, BURST_BEATS, into + left[:5])),
                chip_room.eq(limit - chip[:chip_bits]),
                chip_wrapped.eq(chip[chip_bits]),
            ]
            filled = burst.beats != 0
            leaves_arena = filled & (stripe_past | (stripe_last & (end_in_stripe > arena_end[:4])))
            leaves_chip = filled & (chip_wrapped | (chip_room < burst.beats))
            outside = Signal()
            m.d.comb += outside.eq(leaves_arena | leaves_chip)
            m.d.sync += [piece.eq(burst), piece_valid.eq(burst_valid & ~outside)]
            with m.If(burst_valid & outside):
                m.d.sync += [
                    halted.eq(1),
                    self.fault.tag.eq(burst.tag),
                    self.fault.code.eq(Mux(leaves_arena, ErrorCode.ARENA, ErrorCode.ADDRESS)),
                ]
        m.d.comb += self.fault.valid.eq(halted)
        return m
