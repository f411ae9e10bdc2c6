"""What a reset waits for: addresses seen, answers owed, data ahead of their address."""

import random
import re

import pytest
from amaranth.sim import Simulator

from weft_hw.boards import BOARDS
from weft_hw.config import PRESETS
from weft_hw.shell.drain import Bursts, DrainedReset
from weft_hw.shell.zynq7 import emit_shell
from weft_hw.verilog import emit


def run(dut, *benches):
    sim = Simulator(dut)
    sim.add_clock(1e-8)
    for bench in benches:
        sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("data_first", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_was_seen_is_taken_back_and_nothing_new_begins(seed, data_first):
    """A naive core and a naive memory with random stalls; hold rises once and stays."""
    dut, rng = Bursts(), random.Random(seed)
    done = []

    async def bench(ctx):
        get = lambda name: ctx.get(getattr(dut, name))  # noqa: E731
        put = lambda name, value: ctx.set(getattr(dut, name), value)  # noqa: E731
        wait = {"ar": 0, "aw": 0, "w": []}
        reads, awaited, written, answers = [], 0, 0, 0
        seen = dict.fromkeys(("ar", "aw", "w"), 0)
        begun_after_hold, hold_at, idle_at = 0, rng.randrange(20, 200), None
        accepted_aw = 0
        for cycle in range(1200):
            held = cycle >= hold_at
            put("hold", held)
            # The core: offers stay until taken. Data may go ahead of their address.
            if not wait["ar"] and rng.random() < 0.3 and len(reads) < 8:
                wait["ar"] = 1
            if not wait["aw"] and not wait["w"] and rng.random() < 0.3:
                wait["aw"], wait["w"] = 1, [0] * rng.randrange(4) + [1]
            put("core_arvalid", bool(wait["ar"]))
            put("core_awvalid", bool(wait["aw"]))
            may = bool(wait["w"]) and (data_first or not wait["aw"])
            put("core_wvalid", may)
            put("wlast", bool(wait["w"]) and wait["w"][0])
            # The memory.
            for channel in ("ar", "aw", "w"):
                put(f"{channel}ready", rng.random() < 0.5)
            put("rvalid", bool(reads))
            put("rlast", bool(reads) and reads[0] == 1)
            put("rready", rng.random() < 0.7)
            put("bvalid", answers > 0)
            put("bready", rng.random() < 0.7)
            for channel in ("ar", "aw", "w"):
                valid = get(f"{channel}valid")
                assert valid or not seen[channel], "a valid that was seen fell"
                assert get(f"core_{channel}ready") <= get(f"{channel}ready")
                new = valid and not seen[channel]
                if held and new and channel == "ar":
                    begun_after_hold += 1
                taken = valid and get(f"{channel}ready")
                assert taken == (get(f"core_{channel}ready") and get(f"core_{channel}valid"))
                seen[channel] = valid and not taken
                if taken and channel == "ar":
                    wait["ar"] = 0
                    reads.append(rng.randrange(1, 5))
                elif taken and channel == "aw":
                    wait["aw"] = 0
                    accepted_aw += 1
                elif taken:
                    written += wait["w"].pop(0)
            ended = min(accepted_aw, written) - awaited
            answers_now = ended
            if get("rvalid") and get("rready"):
                reads[0] -= 1
                if not reads[0]:
                    reads.pop(0)
            if get("bvalid") and get("bready"):
                awaited += 1
                answers_now -= 1
            answers = max(0, answers_now)
            await ctx.tick()
            rest = not reads and not any(seen.values()) and accepted_aw == written == awaited
            begun = bool(wait["w"]) and written < accepted_aw
            if get("idle"):
                assert rest and not begun, cycle
                if held and idle_at is None:
                    idle_at = cycle
        assert not begun_after_hold, "reads"
        assert idle_at is not None and idle_at < hold_at + 200, "it comes to rest"
        done.append(True)

    run(dut, bench)
    assert done


def test_the_reset_waits_for_rest_but_not_for_ever():
    dut = DrainedReset(patience=40)

    async def bench(ctx):
        async def ticks(level, limit=100):
            for n in range(limit):
                if ctx.get(dut.reset) == level:
                    return n
                await ctx.tick()
            raise AssertionError(level)

        assert ctx.get(dut.reset) and ctx.get(dut.hold), "in reset from the configuration on"
        assert await ticks(0) >= DrainedReset.CYCLES
        assert not ctx.get(dut.hold)
        ctx.set(dut.wanted, 1)
        await ctx.tick()
        assert ctx.get(dut.hold) and not ctx.get(dut.reset)
        ctx.set(dut.wanted, 0)  # a short pulse is enough
        for _ in range(20):
            await ctx.tick()
            assert ctx.get(dut.hold) and not ctx.get(dut.reset)
        ctx.set(dut.idle, 1)
        assert await ticks(1) <= 2
        assert await ticks(0) >= DrainedReset.CYCLES
        ctx.set(dut.idle, 0)
        ctx.set(dut.wanted, 1)
        assert 40 <= await ticks(1) <= 44, "a memory that never answers"
        await ctx.tick().repeat(50)
        assert ctx.get(dut.reset), "as long as it is wanted"
        ctx.set(dut.wanted, 0)
        await ticks(0)

    run(dut, bench)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verilog")
    texts = {}
    for name in ("tiny", "tiny-wide"):
        config = PRESETS[name]
        (folder / name).mkdir()
        texts[name] = emit(config, folder / name).read_text()
        if (config.axi_protocol, config.axi_data_bits) == ("axi3", 64):
            texts[f"{name} shell"] = emit_shell(
                config, BOARDS["pynq-z2"], folder / name
            ).read_text()
    return texts


def test_synchronisers_are_marked_and_no_wire_is_of_no_width(written):
    """UG901: ASYNC_REG keeps the registers of a synchroniser together, and out of shift
    registers.
    """
    shells = [name for name in written if name.endswith("shell")]
    assert shells
    for name in shells:
        assert written[name].count('ASYNC_REG = "TRUE"') >= 3
    for name, text in written.items():
        assert "[-1:0]" not in text and not re.search(r"\b0'[bdhs]", text), name
