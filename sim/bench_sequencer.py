"""The sequencer: every row, weight word and copy of random loop nests, and when they come."""

from __future__ import annotations

import itertools
import random

import cocotb

from compute_bench import jumps
from runner import parameters
from streams import Lockstep, members
from weft_hw.compute.lane import ModeLayout
from weft_hw.compute.row_nest import RowLayout
from weft_hw.compute.sequencer import Sequencer
from weft_hw.config import PRESETS
from weft_hw.interface import POST_BITS, StartLayout
from weft_hw.isa import LAYOUTS, LOOP_LEVELS, ErrorCode, Instruction, Opcode, ResultType, encode

CONFIG = PRESETS[parameters()["preset"]]
H, LINE_WORDS = CONFIG.tile_words, CONFIG.line_bytes // 4
LEVELS = range(LOOP_LEVELS)
_FIRST_POST = LAYOUTS[Opcode.END]["post0_enable"].offset
#: Values of a SETUP that pass through.
VALUES = {"pre": 3, "zero_point": -7, "low": -99, "high": 98}
NAMES = ("act", "acc", "weight", "result", "parameter")


def word_of(instruction: Instruction) -> int:
    return int.from_bytes(encode(instruction), "little")


def posts_of(instruction: Instruction) -> int:
    return word_of(instruction) >> _FIRST_POST & ((1 << POST_BITS) - 1)


class Job:
    """A SETUP and a MATMUL, with the rows and weight words that they mean."""

    def __init__(
        self, kind: ResultType, counts, levels: int, reduction: int, first=1, last=1, residual=0
    ):
        self.kind, self.counts, self.levels, self.residual = kind, counts, levels, residual
        inside = [level < levels for level in LEVELS]
        units = {"result": 2 * LINE_WORDS}
        strides, base = {}, {}
        for name in NAMES:
            unit = units.get(name, 1)
            strides[name] = [unit * random.randint(-3, 3) for _ in LEVELS]
            if name in ("weight", "parameter"):
                strides[name] = [0 if i else s for i, s in zip(inside, strides[name])]
            lowest = sum(min(0, s * (c - 1)) for s, c in zip(strides[name], counts))
            base[name] = unit * random.randrange(4) - lowest
        fields = {"tile_levels": levels, "reduction": reduction, "first": first, "last": last}
        fields |= {f"count{i}": count for i, count in enumerate(counts)}
        fields |= {f"{name}_address": base[name] for name in NAMES}
        setup = {"result_type": int(kind), "residual": residual, **VALUES}
        for name in NAMES:
            place = setup if name in ("result", "parameter") else fields
            for i, jump in enumerate(jumps(strides[name], counts)):
                # Weights and parameters have no jump of level 0, which is inside every tile.
                if i or name not in ("weight", "parameter"):
                    place[f"{name}_jump{i}"] = jump
        posts = tuple(random.sample(range(16), random.randrange(3)))
        self.setup = Instruction(Opcode.SETUP, posts=posts[::-1], fields=setup)
        self.matmul = Instruction(Opcode.MATMUL, posts=posts, fields=fields)
        self._expand(strides, base, reduction, first, last)

    def _expand(self, strides, base, reduction, first, last):
        """Rows and words, from the definition of the loop nest."""
        self.rows: list[dict[str, int]] = []
        self.words: list[int] = []
        counts = self.counts
        for index in itertools.product(*(range(count) for count in reversed(counts))):
            i = index[::-1]
            at = {n: base[n] + sum(x * s for x, s in zip(i, strides[n])) for n in NAMES}
            along = [level for level in LEVELS if reduction >> level & 1]
            starts = not any(i[: self.levels])
            from_bias = first and all(i[level] == 0 for level in along)
            leaves = last and all(i[level] == counts[level] - 1 for level in along)
            self.rows.append({
                "swap": int(starts),
                "first": int(from_bias),
                "last": int(leaves),
                "parameters": int(starts and (from_bias or leaves)),
                "final": 0,
                "act_word": at["act"],
                "acc_address": at["acc"],
                "result_line": at["result"] // LINE_WORDS,
                "parameter_address": at["parameter"],
            })  # fmt: skip
            if starts:
                self.words += range(at["weight"], at["weight"] + H)
        self.rows[-1]["final"] = 1


class Model:
    """Drives `start` and `idle`; collects what leaves, with its cycles."""

    def __init__(self, dut):
        self.stall = parameters()["stall"]
        self.bench = Lockstep(dut)
        self.source = self.bench.source("start", StartLayout, self.stall)
        self.bench.add(self)
        self.forget()

    def forget(self):
        self.rows: list[tuple[int, object]] = []
        self.residuals: list[tuple[int, int]] = []
        self.words: list[tuple[int, int]] = []
        self.copies: list[int] = []
        self.finals: list[tuple[int, int]] = []
        self.setups: list[list[int]] = []
        self.taken_posts: int | None = None
        self.accepted: list[int] = []
        self.errors: list[tuple[int, int]] = []
        self.in_flight, self.settling = 0, 0

    def drive(self):
        self.settling -= self.settling > 0
        self.bench.set("idle", self.in_flight == 0 and self.settling == 0)

    def sample(self):
        bench, now = self.bench, self.bench.cycle
        raw = bench.get("row")
        row = members(RowLayout(CONFIG), raw)
        if row.residual:
            self.residuals.append((now, row.act_word))
        assert not (row.valid and row.residual)
        if row.valid:
            self.rows.append((now, row))
            if row.final:
                self.finals.append((now, bench.get("posts")))
                self.in_flight -= 1
                self.settling = random.randint(1, 30)
        if bench.get("weight_en"):
            self.words.append((now, bench.get("weight_address")))
        if bench.get("copy"):
            self.copies.append(now)
        if bench.get("accepted"):
            self.accepted.append(now)
            self.in_flight += 1
        if self.taken_posts is not None:  # in force from the cycle after `setup_done`
            mode = members(ModeLayout, bench.get("mode"))
            state = [getattr(mode.setup, name) for name in VALUES]
            state += [bench.get("result_type"), mode.raw, mode.table_enable, mode.table]
            self.setups.append([self.taken_posts, *state])
        self.taken_posts = bench.get("setup_posts") if bench.get("setup_done") else None
        if bench.get("error__valid"):
            self.errors.append((bench.get("error__code"), bench.get("error__index")))

    def send(self, instructions):
        self.source.queue.extend(
            {"word": word_of(instruction), "index": i} for i, instruction in enumerate(instructions)
        )

    async def run(self, jobs, setups=True):
        """Run jobs, each with its SETUP or only the first; compares all but the cycles."""
        await self.bench.reset()
        program = [i for n, job in enumerate(jobs) for i in
                   ((job.setup, job.matmul) if setups or not n else (job.matmul,))]  # fmt: skip
        self.send(program)
        await self.bench.until(lambda: len(self.finals) == len(jobs))
        await self.bench.step(6)
        assert not self.errors
        want = [row for job in jobs for row in job.rows]
        assert len(self.rows) == len(want)
        for n, ((_, got), row) in enumerate(zip(self.rows, want)):
            for name, value in row.items():
                # These addresses are used by some rows only.
                unused = {
                    "acc_address": row["first"] and row["last"],
                    "result_line": not row["last"],
                    "parameter_address": not row["parameters"],
                }
                assert unused.get(name) or getattr(got, name) == value, f"row {n}: {name}"
        assert [word for _, word in self.words] == [w for job in jobs for w in job.words]
        assert [posts for _, posts in self.finals] == [posts_of(job.matmul) for job in jobs]
        assert len(self.accepted) == len(jobs)
        if setups:
            states = [(job.kind, job.kind is ResultType.INT32, 0, 0) for job in jobs]
            done = [[posts_of(j.setup), *VALUES.values(), *s] for j, s in zip(jobs, states)]
            assert self.setups == done
        self._rules(jobs, want)

    def _rules(self, jobs, want):
        """What the array, the parameters and the result writer rely on."""
        begins = [cycle for cycle, row in self.rows if row.swap]
        assert len(self.copies) == len(begins)
        previous = None
        for k, (copy, begin) in enumerate(zip(self.copies, begins)):
            words = [cycle for cycle, _ in self.words[k * H : (k + 1) * H]]
            assert copy < begin and words[-1] < copy
            if previous is not None:
                assert copy >= previous[1] + H - 1 and words[0] >= previous[0]
            previous = copy, begin
        taking = [cycle for cycle, row in self.rows if row.parameters]
        assert all(b - a >= CONFIG.cols // 2 for a, b in zip(taking, taking[1:]))
        owners = [job for job in jobs for _ in job.rows]
        leaving = [(cycle, row, job) for (cycle, row), job in zip(self.rows, owners) if row.last]
        for (a, _, job), (b, _, _) in zip(leaving, leaving[1:]):
            assert b - a >= CONFIG.row_cycles(job.kind.bytes, bool(job.residual))
        # Behind each row that leaves, the lines where its result will stand.
        lines = CONFIG.cols // CONFIG.rows
        assert self.residuals == [
            (cycle + 1 + n, (row.result_line + n) * LINE_WORDS)
            for cycle, row, job in leaving if job.residual for n in range(lines)
        ]


def random_job() -> Job:
    levels = random.randint(1, LOOP_LEVELS - 1)
    counts = [random.choice((1, 1, 2, 3)) for _ in LEVELS]
    reduction = random.getrandbits(LOOP_LEVELS) >> levels << levels
    kind = random.choice(list(ResultType))
    residual = int(kind is ResultType.INT8 and random.randrange(2))
    return Job(
        kind, counts, levels, reduction, random.randrange(2), random.randrange(2), residual
    )


@cocotb.test()
async def random_nests(dut):
    """Loop nests of any form, with a SETUP before each, or instructions right behind each other."""
    model = Model(dut)
    await model.bench.begin()
    for _ in range(5):
        await model.run([random_job() for _ in range(4)])


@cocotb.test()
async def tile_period(dut):
    """A tile every max(M, R/L) cycles, across instructions, too; the first after the latency."""
    model = Model(dut)
    if model.stall:
        return
    await model.bench.begin()
    for m in (1, 2, H - 1, H, H + 1, CONFIG.rows, CONFIG.rows + 1):
        # Only the last of four passes along K leaves, so parameters are far apart.
        jobs = [Job(ResultType.INT8, [m, 4, 1, 1, 1, 1], 1, 0b10) for _ in range(3)]
        jobs[1:] = [jobs[0]] * 2
        await model.run(jobs, setups=False)
        begins = [cycle for cycle, row in model.rows if row.swap]
        assert model.words[0][0] == model.accepted[0] + Sequencer.WEIGHT_LATENCY
        assert begins[0] == model.words[H - 1][0] + Sequencer.ROW_LATENCY
        period = [max(m, H)] * (len(begins) - 1)
        # First and last tile of a reduction take parameters: those of neighbours are C/2 apart.
        for k in range(3, len(period), 4):
            period[k] = max(period[k], CONFIG.cols // 2)
        assert [b - a for a, b in zip(begins, begins[1:])] == period, m
        inside = [b - a for (a, _), (b, row) in zip(model.rows, model.rows[1:]) if not row.swap]
        assert inside == [1] * len(inside)


@cocotb.test()
async def bounds(dut):
    """An address out of a memory gives ADDRESS with the index of its instruction."""
    model = Model(dut)
    await model.bench.begin()
    good = Job(ResultType.INT32, [3, 2, 1, 1, 1, 1], 1, 0b10)
    lines = CONFIG.scratchpad_bytes // CONFIG.line_bytes
    widest = ResultType.INT32.bytes * CONFIG.cols // CONFIG.rows
    for name, limit in (
        ("act_address", (lines - 1) * LINE_WORDS + 1),
        ("result_address", (lines - widest) * LINE_WORDS + 2 * LINE_WORDS),
        ("acc_address", CONFIG.accumulator_rows),
        ("weight_address", CONFIG.weight_words),
        ("parameter_address", CONFIG.parameter_entries // 2 - CONFIG.cols // 2 + 1),
    ):
        await model.bench.reset()
        fields = {n: v for n, v in good.matmul.fields.items() if "jump" not in n}
        bad = Instruction(Opcode.MATMUL, fields=fields | {name: limit})
        model.send([good.setup, good.matmul, good.matmul, bad])
        await model.bench.until(lambda: model.errors)
        assert model.errors[0] == (ErrorCode.ADDRESS, 3), name
        # The last address that is inside.
        await model.bench.reset()
        step = {"result_address": 2 * LINE_WORDS}.get(name, 1)
        last = limit - (H if name == "weight_address" else step)
        setup = Instruction(Opcode.SETUP, fields={"result_type": ResultType.INT32})
        inside = Instruction(Opcode.MATMUL, fields=fields | {name: last})
        model.send([setup, inside])
        await model.bench.until(lambda: model.finals)
        await model.bench.step(6)
        assert not model.errors, name
