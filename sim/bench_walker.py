"""The walker of one port: every burst of random transfers, at the claimed cycles."""

from __future__ import annotations

import random

import cocotb

from runner import parameters
from streams import Lockstep
from walks import naive, random_walk
from weft_hw.config import PRESETS
from weft_hw.dma.layouts import SLOTS, piece_layout, transfer_layout
from weft_hw.dma.walker import Walker
from weft_hw.isa import ErrorCode, Space, space_words

CONFIG = PRESETS[parameters()["preset"]]
PORT = parameters()["port"]
ARENA_BYTES = 1 << 20


class Walk:
    """Transfers in, pieces out."""

    def __init__(self, dut):
        self.stall = parameters()["stall"]
        self.bench = Lockstep(dut)
        self.source = self.bench.source("transfer", transfer_layout(CONFIG), self.stall)
        self.sink = self.bench.sink("piece", piece_layout(CONFIG), self.stall)

    async def run(self, transfers, arena_bytes):
        """Walk `transfers`; compares the pieces and how it ends, returns the naive pieces."""
        await self.bench.reset(arena_bytes=arena_bytes)
        self.source.queue.extend(transfers)
        want = [piece for t in transfers for piece in naive(CONFIG, PORT, t, arena_bytes)]
        pieces = [piece for piece in want if isinstance(piece, list)]
        if len(pieces) < len(want):
            await self.bench.until(lambda: self.bench.get("fault__valid"))
            assert ErrorCode(self.bench.get("fault__code")).name == want[len(pieces)]
            assert self.bench.get("fault__tag") == transfers[-1]["tag"]
        await self.bench.until(lambda: len(self.sink.got) >= len(pieces))
        # Nothing follows, and a fault is for ever.
        await self.bench.step(30)
        assert self.bench.get("fault__valid") == (len(pieces) < len(want))
        assert len(self.sink.got) == len(pieces)
        for (_, got), (offset, beats, chip, space, tag, last) in zip(self.sink.got, pieces):
            assert (got.beats, got.space, got.tag, got.last) == (beats, space, tag, last)
            if beats:
                assert (got.offset, got.chip) == (offset, chip)
        return pieces


def inside(t) -> bool:
    """No port of the transfer is refused."""
    ends = [naive(CONFIG, port, t, ARENA_BYTES)[-1] for port in range(CONFIG.axi_ports)]
    return all(isinstance(end, list) for end in ends)


def small_walks(count: int):
    """Transfers that stay inside."""
    found = []
    while len(found) < count:
        t = random_walk(random, CONFIG)
        if inside(t):
            found.append(t)
    return found


def check_pace(transfers, offered) -> None:
    """Pieces PERIOD cycles apart; rows and transfers cost what is claimed, or less."""
    gaps = [after - before for before, after in zip(offered, offered[1:])]
    assert all(gap >= Walker.PERIOD for gap in gaps)
    rows = sum(t["rows"] for t in transfers)
    most = Walker.PERIOD * len(offered) + Walker.ROW_PERIOD * rows
    assert sum(gaps) <= most + Walker.TRANSFER_PERIOD * len(transfers)


@cocotb.test()
async def one_long_row(dut):
    """The claimed latency, and a piece every PERIOD cycles."""
    walk = Walk(dut)
    await walk.bench.begin()
    if walk.stall:
        return
    t = {**random_walk(random, CONFIG), "offset": 16 * PORT, "rows": 1, "length": 200, "chip": 0}
    pieces = await walk.run([{**t, "space": 0}], ARENA_BYTES)
    first = walk.source.sent[0] + Walker.LATENCY
    assert walk.sink.offered == [first + i * Walker.PERIOD for i in range(len(pieces))]


@cocotb.test()
async def random_transfers(dut):
    """Random transfers against the beat by beat splitter; at full rate at the claimed cycles."""
    walk = Walk(dut)
    await walk.bench.begin()
    for _ in range(4):
        transfers = small_walks(8)
        pieces = await walk.run(transfers, ARENA_BYTES)
        if not walk.stall:
            assert len(pieces) == len(walk.sink.offered)
            assert walk.sink.offered[0] >= walk.source.sent[0] + Walker.LATENCY
            check_pace(transfers, walk.sink.offered)


@cocotb.test()
async def refusals(dut):
    """A burst beyond the arena, or beyond its memory, is not emitted, and nothing comes after."""
    walk = Walk(dut)
    await walk.bench.begin()
    seen = set()
    for _ in range(12):
        # In a small arena most transfers end there, in a large one at the end of a small memory.
        transfers, arena = [], random.choice((16 * random.randrange(64, 1 << 10), ARENA_BYTES))
        while not transfers or isinstance(naive(CONFIG, PORT, transfers[-1], arena)[-1], list):
            transfers.append(random_walk(random, CONFIG))
        await walk.run(transfers, arena)
        seen.add(walk.bench.get("fault__code"))
    assert seen == {ErrorCode.ARENA, ErrorCode.ADDRESS}


@cocotb.test()
async def edges(dut):
    """The last burst that fits and the first that does not, at either limit; wrapping addresses."""
    walk = Walk(dut)
    await walk.bench.begin()
    beat, stripe = CONFIG.beat_bytes, CONFIG.stripe_bytes
    group = CONFIG.axi_ports * 16
    arena_beats = 4 * group
    base = {"pitch": 0, "rows": 1, "chip": 0, "chip_pitch": 0, "space": 0, "tag": SLOTS - 1}
    whole = dict(base, offset=arena_beats - group, length=group)
    for short in (0, beat, stripe):
        await walk.run([whole], arena_beats * beat - short)
    for space in Space:
        beats = 4 * space_words(space, CONFIG) // beat
        for more in (0, 1):
            at = {"offset": 0, "chip": beats - group + more, "space": space}
            await walk.run([base | at | {"length": group}], ARENA_BYTES)
    top = (1 << 32) // beat
    await walk.run([dict(base, offset=top - 16, length=2 * group)], ARENA_BYTES)
    await walk.run([dict(base, offset=0, length=group, rows=3, pitch=top - 1)], ARENA_BYTES)
