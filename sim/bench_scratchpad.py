"""The scratchpad against an array of bytes: all clients, in all pairs of banks, cycle by cycle."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

import cocotb

from runner import parameters
from streams import Lockstep, Pauses, bits
from weft_hw.config import PRESETS
from weft_hw.memory.scratchpad import ResultWrite, Scratchpad

CONFIG = PRESETS[parameters()["preset"]]
LINE, D, BEAT, PORTS = CONFIG.line_bytes, CONFIG.dma_bytes, CONFIG.beat_bytes, CONFIG.axi_ports
SIZE, BANK, BANKS = CONFIG.scratchpad_bytes, CONFIG.scratchpad_bank_bytes, CONFIG.scratchpad_banks
CYCLES = 1500
#: Words at which a read of the array begins.
WORDS = SIZE // 4 - LINE // 4 + 1


def memories_of(word: int) -> set[tuple[int, int]]:
    """(bank, even or odd) of the lines that a read of the array from `word` on takes."""
    lines = {4 * word // LINE, (4 * word + LINE - 1) // LINE}
    return {(line * LINE // BANK, line % 2) for line in lines}


class Model:
    """Bytes, and the answers that are due; drives all clients of a cycle and compares."""

    def __init__(self, dut):
        self.bench = Lockstep(dut)
        self.bytes = bytearray(SIZE)
        self.touched: dict[int, int] = {}
        self.array_due: dict[int, tuple[int, bytes | None]] = {}
        self.store_due: dict[int, tuple[int, bytes | None]] = {}
        self.line_due: dict[int, tuple[int, bytes | None]] = {}
        #: Words of the array's reads of the last two cycles, the older one first.
        self.array_before: list[int | None] = [None, None]
        self.conflicts = [0, 0, 0]
        self.compared = 0

    async def begin(self):
        await self.bench.begin(
            array__en=0, store__valid=0, result=0, load__valid=0,
            depthwise_read__valid=0, depthwise_write__valid=0,
        )  # fmt: skip
        return self

    def _write(self, at: int, data: bytes):
        self.pending.append((at, data))
        for beat in range(at // BEAT, (at + len(data)) // BEAT):
            self.touched[beat] = self.bench.cycle

    def _read(self, at: int, size: int, presented: int) -> bytes | None:
        """What a read sees; None where a write came too shortly before, or comes with it."""
        for beat in range(at // BEAT, -(-(at + size) // BEAT)):
            if presented - self.touched.get(beat, -99) < Scratchpad.WRITE_LATENCY:
                return None
        return bytes(self.bytes[at : at + size])

    async def cycle(self, array=None, store=None, result=None, load=None, line=None, wide=None):
        """One cycle; returns the names of the clients that were accepted, of those that may wait.

        Parameters
        ----------
        array : word, or None
        store : address in units of D, or None
        result : (pair, mask, data), or None
        load : (address in units of D, mask, data), or None
        line : line that the depthwise unit reads, or None
        wide : (line, data) that it writes, or None
        """
        bench = self.bench
        now, self.pending = bench.cycle, []
        bench.set("array__en", array is not None)
        bench.set("array__word", random.randrange(WORDS) if array is None else array)
        bench.set("store__valid", store is not None)
        bench.set("store__address", random.randrange(SIZE // D) if store is None else store)
        pair, mask, data = result or (random.randrange(SIZE // LINE // 2), 3, b"")
        fields = {"valid": result is not None, "pair": pair, "mask": mask}
        fields["data"] = int.from_bytes(data, "little")
        bench.set("result", bits(ResultWrite(CONFIG), fields))
        address, beats, loaded = load or (random.randrange(SIZE // D), (1 << PORTS) - 1, b"")
        bench.set("load__valid", load is not None)
        bench.set("load__address", address)
        bench.set("load__mask", beats)
        bench.set("load__data", int.from_bytes(loaded, "little"))
        bench.set("depthwise_read__valid", line is not None)
        bench.set("depthwise_read__line", random.randrange(SIZE // LINE) if line is None else line)
        target, written = wide or (random.randrange(SIZE // LINE), b"")
        bench.set("depthwise_write__valid", wide is not None)
        bench.set("depthwise_write__line", target)
        bench.set("depthwise_write__data", int.from_bytes(written, "little"))
        await bench.settle()

        # A read meets the array's of two cycles before, a write the result's. Behind it comes a
        # store, and then a line; behind results what the depthwise unit writes, and then a load.
        meets = self.array_before[0]
        in_way = set() if meets is None else memories_of(meets)
        wanted = range(0) if store is None else range(store * D // LINE, (store + 1) * D // LINE)
        stored = {(at * LINE // BANK, at % 2) for at in wanted}
        read_clash = bool(stored & in_way)
        line_clash = line is not None and (line * LINE // BANK, line % 2) in in_way | stored
        in_way = set() if result is None else {2 * pair * LINE // BANK}
        wide_clash = wide is not None and target * LINE // BANK in in_way
        in_way |= set() if wide is None else {target * LINE // BANK}
        write_clash = load is not None and address * D // BANK in in_way
        clashes = {"store": read_clash, "load": write_clash, "line": line_clash, "wide": wide_clash}
        given = {"store": store, "load": load, "line": line, "wide": wide}
        ports = {"line": "depthwise_read", "wide": "depthwise_write"}
        for client, clash in clashes.items():
            if given[client] is not None:
                assert bench.get(f"{ports.get(client, client)}__ready") == (not clash), client
        waits = (read_clash, write_clash, line_clash or wide_clash)
        for i, name in enumerate(("read_conflict", "write_conflict", "depthwise_conflict")):
            assert bench.get(name) == waits[i], f"{name}, cycle {now}"
            self.conflicts[i] += waits[i]
        served = {c for c, clash in clashes.items() if given[c] is not None and not clash}
        self.array_before = [self.array_before[1], array]

        if result is not None:
            for half in range(2):
                if mask >> half & 1:
                    self._write((2 * pair + half) * LINE, data[half * LINE :][:LINE])
        if "wide" in served:
            self._write(target * LINE, written)
        if "load" in served:
            for beat in range(PORTS):
                if beats >> beat & 1:
                    self._write(address * D + beat * BEAT, loaded[beat * BEAT :][:BEAT])
        if array is not None:
            self.array_due[now + Scratchpad.LATENCY] = (array, self._read(4 * array, LINE, now))
        if "line" in served:
            due = now + Scratchpad.LINE_LATENCY
            self.line_due[due] = (line, self._read(line * LINE, LINE, now))
        if "store" in served:
            self.store_due[now + Scratchpad.STORE_LATENCY] = (store, self._read(store * D, D, now))
        for at, data in self.pending:
            self.bytes[at : at + len(data)] = data

        if now in self.array_due:
            word, want = self.array_due.pop(now)
            got = bench.get("array__data").to_bytes(LINE, "little")
            assert want in (None, got), f"word {word}, cycle {now}"
            self.compared += want is not None
        if now in self.line_due:
            at, want = self.line_due.pop(now)
            got = bench.get("depthwise_read__data").to_bytes(LINE, "little")
            assert want in (None, got), f"line {at}, cycle {now}"
            self.compared += want is not None
        assert bench.get("store__data_valid") == (now in self.store_due), f"cycle {now}"
        if now in self.store_due:
            address, want = self.store_due.pop(now)
            got = bench.get("store__data").to_bytes(D, "little")
            assert want in (None, got), f"store of {address}, cycle {now}"
            self.compared += want is not None
        await bench.edge()
        return served

    async def fill(self):
        """Write every byte, D a cycle."""
        for address in range(SIZE // D):
            assert await self.cycle(load=(address, (1 << PORTS) - 1, random.randbytes(D)))
        await self.drain()

    async def drain(self):
        for _ in range(Scratchpad.LATENCY + 1):
            await self.cycle()
        assert not self.array_due and not self.store_due and not self.line_due


@cocotb.test()
async def pairs_of_banks(dut):
    """Two clients in every pair of banks: who waits for whom, and only in the same bank."""
    model = await Model(dut).begin()
    await model.fill()
    for one, other in itertools.product(range(BANKS), repeat=2):

        def line(bank):
            return random.randrange(BANK // LINE) + bank * (BANK // LINE)

        def word(bank):
            return random.randrange((BANK - LINE) // 4 + 1) + bank * (BANK // 4)

        def wide(bank):
            return random.randrange(BANK // D) + bank * (BANK // D)

        clients = {
            "array": word,
            "store": wide,
            "result": lambda bank: (line(bank) // 2, 3, random.randbytes(2 * LINE)),
            "load": lambda bank: (wide(bank), (1 << PORTS) - 1, random.randbytes(D)),
            "line": line,
            "wide": lambda bank: (line(bank), random.randbytes(LINE)),
        }
        order = (
            ("array", "store"), ("result", "load"), ("wide", "load"),
            ("result", "wide"), ("store", "line"), ("array", "line"),
        )  # fmt: skip
        for first, second in itertools.combinations(clients, 2):
            model.conflicts = [0, 0, 0]
            for _ in range(3):
                await model.cycle(**{first: clients[first](one), second: clients[second](other)})
            await model.drain()
            same = one == other
            # The first store read of three meets the array's first two cycles later.
            met = [same * ({first, second} == {*pair}) for pair in order]
            want = [met[0], 3 * met[1] + 3 * met[2], 3 * met[3] + 3 * met[4] + met[5]]
            # Lines may be in different memories of their bank.
            if "line" in (first, second) or ("store" in (first, second) and D == LINE):
                assert same or not any(model.conflicts)
                want = [min(pair) for pair in zip(want, model.conflicts)]
            assert model.conflicts == want, (first, second, one, other)


@cocotb.test()
async def all_at_full_rate(dut):
    """As many clients as there are banks, in every cycle: nobody waits, and all data are right."""
    model = await Model(dut).begin()
    await model.fill()
    model.compared = 0
    lines, wides, words = BANK // LINE, BANK // D, BANK // 4
    for n in range(200):
        banks = [(n // 50 + i) % BANKS for i in range(4)]
        # A bank reads and writes in one cycle: the depthwise unit reads where results are written.
        line = None if n % 50 < 2 else random.randrange(lines) + banks[2] * lines
        wide = (random.randrange(lines) + banks[1] * lines, random.randbytes(LINE))
        # The array's reads of two cycles are still in their bank when the banks change places.
        store = None if n % 50 < 2 else random.randrange(wides) + banks[1] * wides
        pair = random.randrange(lines // 2) + banks[2] * lines // 2
        result = (pair, 3, random.randbytes(2 * LINE))
        load = (random.randrange(wides) + banks[3] * wides, (1 << PORTS) - 1, random.randbytes(D))
        word = random.randrange(words - LINE // 4 + 1) + banks[0] * words
        await model.cycle(word, store, result, load, line, wide)
    await model.drain()
    assert model.conflicts == [0, 0, 0] and model.compared >= 560


@cocotb.test()
async def random_clients(dut):
    """All clients anywhere, all masks; a refused client asks again until it is served."""
    model = await Model(dut).begin()
    await model.fill()
    pauses = defaultdict(lambda: Pauses(parameters()["stall"]))
    waiting = dict.fromkeys(("store", "load", "line", "wide"))
    # Few lines, so that writes and reads of the same line meet.
    spots = random.sample(range(SIZE // D), 40)
    for _ in range(CYCLES):

        def spot(unit):
            return random.choice(spots) * D // unit

        fresh = {
            "store": lambda: spot(D),
            "load": lambda: (spot(D), random.randrange(1 << PORTS), random.randbytes(D)),
            "line": lambda: spot(LINE),
            "wide": lambda: (spot(LINE), random.randbytes(LINE)),
        }
        for client, make in fresh.items():
            if waiting[client] is None and not pauses[client]:
                waiting[client] = make()
        array = None if pauses["array"] else min(spot(4) + random.randrange(D // 4), WORDS - 1)
        result = None
        if not pauses["result"]:
            result = (spot(2 * LINE), random.randrange(4), random.randbytes(2 * LINE))
        for client in await model.cycle(array, result=result, **waiting):
            waiting[client] = None
    assert min(model.conflicts) > 50, "the clients have to meet for this test to mean anything"
    assert model.compared > CYCLES // 2
