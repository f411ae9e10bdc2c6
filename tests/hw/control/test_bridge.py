"""The bridge from AXI3 to AXI4-Lite: order, identifiers, bursts, window, stalls, pace, rules."""

import random

import pytest

from control_bench import sample_when, simulate
from weft_hw.control.axilite import OKAY, SLVERR
from weft_hw.shell.bridge import DECERR, Axi3ToLite

BASE = 0x43C0_0000
FIXED, INCR, WRAP = 0, 1, 2


def beats(address, length, size, burst):
    """Addresses of a burst's beats, after IHI 0022E, A3.4.1."""
    step, total = 1 << size, (length + 1) << size
    found = []
    for i in range(length + 1):
        if burst == FIXED:
            found.append(address)
        elif burst == INCR:
            found.append(address if i == 0 else address // step * step + i * step)
        else:
            low = address // total * total
            found.append(low + (address - low + i * step) % total)
    return found


def random_burst(rng, inside):
    size = rng.randrange(3)
    burst = rng.choice((FIXED, INCR, WRAP))
    length = rng.choice((1, 3, 7, 15)) if burst == WRAP else rng.randrange(16)
    step = 1 << size
    offset = rng.randrange(4096) // step * step
    if burst == INCR:
        offset = min(offset, (4096 - step * (length + 1)) // step * step)
    page = BASE if inside else rng.choice((BASE - 4096, BASE + 4096, 0x4000_0000, 0x7FFF_F000))
    return {
        "id": rng.randrange(1 << 12),
        "addr": page + offset,
        "len": length,
        "size": size,
        "burst": burst,
    }


def answer(address):
    """What the registers of these tests say: a fault in some places."""
    return (SLVERR if address & 0x80 else OKAY), (address % 4096 // 4 * 0x9E37_79B9) & 0xFFFF_FFFF


class Bench:
    """A master on one side, registers on the other, both stalling at random; rules are checked."""

    def __init__(self, seed, stall, count=40):
        self.dut, self.rng, self.stall = Axi3ToLite(BASE), random.Random(seed), stall
        self.bursts = {
            side: [random_burst(self.rng, self.rng.random() < 0.8) for _ in range(count)]
            for side in ("aw", "ar")
        }
        self.data = [
            [(self.rng.randrange(1 << 32), self.rng.randrange(16)) for _ in range(b["len"] + 1)]
            for b in self.bursts["aw"]
        ]
        self.accesses = {"w": [], "r": []}

    def member(self, name):
        return getattr(self.dut, name)

    async def wait(self, ctx):
        while self.rng.random() < self.stall:
            await ctx.tick()

    async def send(self, ctx, channel, item):
        await self.wait(ctx)
        for name, value in item.items():
            ctx.set(self.member(channel + name), value)
        ctx.set(self.member(channel + "valid"), 1)
        await sample_when(ctx, self.member(channel + "ready"))
        ctx.set(self.member(channel + "valid"), 0)

    async def receive(self, ctx, channel, *fields):
        await self.wait(ctx)
        ctx.set(self.member(channel + "ready"), 1)
        values = [self.member(channel + f) for f in fields]
        found = await sample_when(ctx, self.member(channel + "valid"), *values)
        ctx.set(self.member(channel + "ready"), 0)
        return found

    # -- the master -------------------------------------------------------------------------------

    async def write_addresses(self, ctx):
        for burst in self.bursts["aw"]:
            await self.send(ctx, "s_axi_aw", burst)

    async def write_data(self, ctx):
        for beats_of_one in self.data:
            for data, strobe in beats_of_one:
                await self.send(ctx, "s_axi_w", {"data": data, "strb": strobe})

    async def write_answers(self, ctx):
        for burst in self.bursts["aw"]:
            got = await self.receive(ctx, "s_axi_b", "id", "resp")
            places = beats(burst["addr"], burst["len"], burst["size"], burst["burst"])
            worst = max(answer(a)[0] for a in places)
            inside = burst["addr"] >> 12 == BASE >> 12
            assert tuple(got) == (burst["id"], worst if inside else DECERR)

    async def read_addresses(self, ctx):
        for burst in self.bursts["ar"]:
            await self.send(ctx, "s_axi_ar", burst)

    async def read_answers(self, ctx):
        for burst in self.bursts["ar"]:
            inside = burst["addr"] >> 12 == BASE >> 12
            places = beats(burst["addr"], burst["len"], burst["size"], burst["burst"])
            for i, place in enumerate(places):
                got = await self.receive(ctx, "s_axi_r", "id", "data", "resp", "last")
                response, data = answer(place) if inside else (DECERR, 0)
                assert tuple(got) == (burst["id"], data, response, i == burst["len"])

    # -- the registers ----------------------------------------------------------------------------

    async def registers_written(self, ctx):
        while True:
            address, data = None, None
            if self.rng.random() < 0.5:
                (address,) = await self.receive(ctx, "m_axil_aw", "addr")
                data = await self.receive(ctx, "m_axil_w", "data", "strb")
            else:
                data = await self.receive(ctx, "m_axil_w", "data", "strb")
                (address,) = await self.receive(ctx, "m_axil_aw", "addr")
            self.accesses["w"].append((address // 4, *data))
            await self.send(ctx, "m_axil_b", {"resp": answer(address)[0]})

    async def registers_read(self, ctx):
        while True:
            (address,) = await self.receive(ctx, "m_axil_ar", "addr")
            self.accesses["r"].append(address // 4)
            response, data = answer(address)
            await self.send(ctx, "m_axil_r", {"data": data, "resp": response})

    # -- the rules --------------------------------------------------------------------------------

    async def rules(self, ctx):
        """VALID and what it offers stay until READY (IHI 0022E, A3.2.1)."""
        channels = {
            "s_axi_b": ("id", "resp"),
            "s_axi_r": ("id", "data", "resp", "last"),
            "m_axil_aw": ("addr",),
            "m_axil_w": ("data", "strb"),
            "m_axil_ar": ("addr",),
        }
        signals = [
            self.member(c + f)
            for c, fields in channels.items()
            for f in ("valid", "ready", *fields)
        ]
        held = {}
        while True:
            _, _, *values = await ctx.tick().sample(*signals)
            at = 0
            for channel, fields in channels.items():
                valid, ready, *payload = values[at : at + 2 + len(fields)]
                at += 2 + len(fields)
                if channel in held:
                    assert valid and payload == held[channel], channel
                held.pop(channel, None)
                if valid and not ready:
                    held[channel] = payload

    def run(self):
        simulate(
            self.dut,
            self.write_addresses,
            self.write_data,
            self.write_answers,
            self.read_addresses,
            self.read_answers,
            background=[self.registers_written, self.registers_read, self.rules],
        )


@pytest.mark.parametrize("stall", [0.0, 0.4, 0.8])
def test_random_bursts(stall):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    bench = Bench(seed, stall)
    bench.run()
    for side, channel in (("aw", "w"), ("ar", "r")):
        want = []
        for number, burst in enumerate(bench.bursts[side]):
            if burst["addr"] >> 12 != BASE >> 12:
                continue
            places = beats(burst["addr"], burst["len"], burst["size"], burst["burst"])
            for i, place in enumerate(places):
                word = place % 4096 // 4
                want.append((word, *bench.data[number][i]) if channel == "w" else word)
        assert bench.accesses[channel] == want


def test_pace():
    """A read is asked for in the cycle after its address, and answered in the one after that."""
    dut, cycles = Axi3ToLite(BASE), {}

    async def main(ctx):
        for name in ("m_axil_arready", "m_axil_rvalid", "s_axi_rready", "s_axi_arvalid"):
            ctx.set(getattr(dut, name), 1)
        ctx.set(dut.s_axi_araddr, BASE)
        for cycle in range(8):
            _, _, ready, asked, answered = await ctx.tick().sample(
                dut.s_axi_arready, dut.m_axil_arvalid, dut.s_axi_rvalid
            )
            for name, happens in (("taken", ready), ("asked", asked), ("answered", answered)):
                if happens:
                    cycles.setdefault(name, []).append(cycle)

    simulate(dut, main)
    assert cycles == {"taken": [0, 4], "asked": [1, 5], "answered": [3, 7]}


def test_outputs_do_not_follow_inputs():
    dut = Axi3ToLite(BASE)
    inputs = [n for n, member in dut.signature.members.items() if member.flow.name == "In"]
    outputs = [n for n in dut.signature.members if n not in inputs]
    rng = random.Random(3)

    async def main(ctx):
        for _ in range(200):
            await ctx.tick()
            found = []
            for _ in range(3):
                for name in inputs:
                    port = getattr(dut, name)
                    ctx.set(port, rng.getrandbits(len(port)))
                await ctx.delay(1e-10)
                found.append([ctx.get(getattr(dut, name)) for name in outputs])
            assert found[0] == found[1] == found[2]

    simulate(dut, main)


@pytest.mark.parametrize("base", [0x43C0_0800, -4096, 1 << 32])
def test_a_base_must_be_a_window(base):
    with pytest.raises(ValueError, match="multiple of 0x1000"):
        Axi3ToLite(base)
