"""The instructions of a random program, one at a time, each acceptable to the verifier."""

from __future__ import annotations

from choices import Choices
from random_nests import jump_fields, placed, random_counts, random_strides
from random_setup import random_setup
from random_windows import random_window
from weft.errors import ProgramRefused
from weft.program import TensorSpec
from weft.verify.accesses import Touched, analyse
from weft.verify.accumulators import check_accumulators
from weft.verify.defined import check_defined
from weft.verify.order import Order
from weft.verify.regions import Region, overlap
from weft.verify.weights import check_weights
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    LOOP_LEVELS,
    POSTS,
    SEMAPHORES,
    WAITS,
    Instruction,
    Opcode,
    ResultType,
    Space,
    Unit,
    queued,
    result_align_words,
    space_words,
    units_of,
)
from weft_hw.numerics import SHIFT_MAX

__all__ = ["DUMP", "PARAMETERS", "POOL", "STORES", "WEIGHTS_END", "Builder", "entry_bytes"]

#: Arena: random bytes, parameters, what stores write, the last dump, the program.
POOL, PARAMETERS, STORES, DUMP = 0, 8192, 16384, 24576
#: The random bytes below may become weights: none of them is -128.
WEIGHTS_END = 4096
#: What fills memories that do not take every byte: weights above -128, shifts of at most 42.
FILLS = {
    Space.WEIGHTS: (-127, 127),
    Space.PARAMETERS: (0, 2 * SHIFT_MAX + 1),
    Space.TAPS: (0, 2 * SHIFT_MAX + 1),
}

#: Units of whose instructions only one that reads what an earlier one wrote needs an order.
IN_ORDER = [spec.unit for spec in queued() if spec.in_order]

#: Constants as the builder knows them: bytes that may be -128 are.
_DOUBTFUL = [(WEIGHTS_END, b"\x80" * (STORES - WEIGHTS_END))]


def entry_bytes(config: AcceleratorConfig) -> int:
    """Bytes of random entries of parameters: as many as any memory takes."""
    return max(config.parameter_bytes, 4 * space_words(Space.TAPS, config))


class Builder:
    """A program under construction, always acceptable to the verifier."""

    def __init__(self, choices: Choices, config: AcceleratorConfig) -> None:
        self.choices, self.config = choices, config
        self.instructions: list[Instruction] = []
        self.touched: list[Touched] = []
        self.setup: Instruction | None = None
        #: Some programs keep the first bytes that stores write from run to run.
        self.state = self._state() if choices.chance(40) else None
        names = list(range(SEMAPHORES))
        for i in range(SEMAPHORES - 1, 0, -1):
            j = choices.integer(0, i)
            names[i], names[j] = names[j], names[i]
        units = self._units()
        #: Semaphores from one unit to another; some pairs have two where there are enough.
        pairs = [(a, b) for a in units for b in units]
        self.semaphores = {pair: [names.pop()] for pair in pairs}
        for pair in pairs:
            if names and pair[0] is not pair[1]:
                self.semaphores[pair].append(names.pop())
        #: Index of the latest instruction that posted from one unit to another.
        self.posted = dict.fromkeys(self.semaphores, -1)

    def _state(self) -> TensorSpec:
        """A tensor of rank 3, with gaps between its rows and its planes."""
        count, rows, cols = (self.choices.integer(1, n) for n in (8, 8, 64))
        pitches = (64 * (rows + self.choices.pick([0, 0, 1, 3])), 64)
        return TensorSpec("h", "int8", (count, rows, cols), STORES, pitches)

    @property
    def _given(self) -> list[Region]:
        """What is defined when a run starts."""
        kept = self.state.end - STORES if self.state else 0
        return [Region(POOL, PARAMETERS + entry_bytes(self.config)), Region(STORES, kept)]

    def finish(self) -> list[Instruction]:
        return [*self.instructions, Instruction(Opcode.END)]

    # -- order ------------------------------------------------------------------------------------

    def add(self, instruction: Instruction) -> bool:
        """Append it with the waits that it needs; False where it cannot be."""
        touched = self._analyse(instruction)
        if touched is None:
            return False
        index, unit = len(self.instructions), instruction.unit
        trial = [*self.instructions, instruction]
        order = Order(trial, range(index + 1))
        edges = {}
        for other in self._units():
            need = self._latest_conflict(index, unit, other, touched, order)
            if need is None and self.choices.chance(15):
                mine = [i for i, x in enumerate(self.instructions) if x.unit is other]
                need = self.choices.pick(mine) if mine else None
            if need is not None:
                poster = self._poster(need, other, unit)
                if poster is None and need <= self.posted[other, unit]:
                    continue
                if poster is None:
                    return False
                edges[other] = poster
        if len(edges) > WAITS:
            return False
        before = list(self.instructions)
        waits = []
        for other, poster in edges.items():
            semaphore = self.choices.pick(self.semaphores[other, unit])
            waits.append(semaphore)
            old = self.instructions[poster]
            self.instructions[poster] = Instruction(
                old.opcode, old.waits, (*old.posts, semaphore), old.fields
            )
        self.instructions.append(
            Instruction(instruction.opcode, tuple(waits), (), instruction.fields)
        )
        self.touched.append(touched)
        try:
            order = Order(self.instructions, range(index + 1))
            check_accumulators(self.instructions, self.touched, self.config, order)
            so_far = self.instructions, self.touched, self.config, range(index + 1), 32768
            check_defined(*so_far, self._given)
            check_weights(*so_far, _DOUBTFUL, (), [(self._given[1], True)])
        except ProgramRefused:
            self.instructions = before
            self.touched.pop()
            return False
        for other, poster in edges.items():
            self.posted[other, unit] = poster
        return True

    def _units(self) -> list[Unit]:
        return [spec.unit for spec in queued(units_of(self.config))]

    def _analyse(self, instruction: Instruction) -> Touched | None:
        trial = [instruction] if self.setup is None else [self.setup, instruction]
        try:
            return analyse(trial, self.config, 32768)[-1]
        except ProgramRefused:
            return None

    def _latest_conflict(
        self, index: int, unit: Unit, other: Unit, touched: Touched, order: Order
    ) -> int | None:
        """Index of the latest instruction of `other` that must retire before, None if none."""
        for i in range(index - 1, -1, -1):
            if self.instructions[i].unit is not other or order.is_before(i, index):
                continue
            for a in self.touched[i].accesses:
                for b in touched.accesses:
                    if a.memory is not b.memory or not (a.is_write or b.is_write):
                        continue
                    if unit is other in IN_ORDER and (b.is_write or not a.is_write):
                        continue
                    if overlap(a.region, b.region):
                        return i
        return None

    def _poster(self, need: int, other: Unit, unit: Unit) -> int | None:
        """First instruction of `other` from `need` on that can post once more, in FIFO order."""
        start = max(need, self.posted[other, unit] + 1)
        for i in range(start, len(self.instructions)):
            instruction = self.instructions[i]
            if instruction.unit is other and len(instruction.posts) < POSTS:
                return i
        return None

    # -- transfers --------------------------------------------------------------------------------

    def preload(self) -> None:
        """Fill every on-chip memory, in a few pieces."""
        for space in Space:
            size = 4 * space_words(space, self.config)
            if not size:
                continue
            pieces = self.choices.pick([1, 1, 2, 4])
            step = size // pieces
            source = PARAMETERS if space in (Space.PARAMETERS, Space.TAPS) else POOL
            for i in range(pieces):
                rows = self.choices.pick([1, 2, 4])
                fields = {
                    "space": space,
                    "dram_offset": source + i * step,
                    "dram_pitch": step // rows,
                    "rows": rows,
                    "bytes": step // rows,
                    "chip_address": i * step // 4,
                    "chip_pitch": step // rows // 4,
                }
                self.add(Instruction(Opcode.LOAD, (), (), fields))

    def _shape(self, space: Space, dram: tuple[int, int]) -> dict[str, int]:
        """Fields of a transfer between `space` and bytes first..end of the arena."""
        choices, beat = self.choices, self.config.beat_bytes // 4
        rows = choices.pick([1, 1, 2, 3, 5, choices.integer(1, 9)])
        size = 16 * choices.pick([1, 1, 2, 3, 8, 16, choices.integer(1, 20)])
        slack = choices.pick([0, 0, beat, 4 * choices.integer(0, 20) * beat])
        chip_pitch = size // 4 + slack
        dram_pitch = size + 16 * choices.pick([0, 0, 1, choices.integer(0, 20)])
        limit = space_words(space, self.config)
        while rows > 1 and (
            (rows - 1) * chip_pitch + size // 4 > limit
            or (rows - 1) * dram_pitch + size > dram[1] - dram[0]
        ):
            rows -= 1
        size = min(size, 4 * limit, dram[1] - dram[0])
        chip_room = limit - (rows - 1) * chip_pitch - size // 4
        dram_room = dram[1] - dram[0] - (rows - 1) * dram_pitch - size
        return {
            "space": space,
            "dram_offset": dram[0] + 16 * choices.integer(0, dram_room // 16),
            "dram_pitch": dram_pitch,
            "rows": rows,
            "bytes": size,
            "chip_address": beat * choices.integer(0, chip_room // beat),
            "chip_pitch": chip_pitch,
        }

    def load(self) -> None:
        """A strided load, sometimes of what stores wrote."""
        space = self.choices.pick(
            [Space.SCRATCHPAD, Space.SCRATCHPAD, Space.WEIGHTS, Space.PARAMETERS, Space.TABLES]
            + [Space.TAPS] * bool(self.config.tap_words)
        )
        source = (POOL, PARAMETERS)
        if space in (Space.PARAMETERS, Space.TAPS):
            source = (PARAMETERS, PARAMETERS + entry_bytes(self.config))
        elif self.choices.chance(30) and self._kept():
            source = self.choices.pick(self._kept())
        elif space is Space.WEIGHTS:
            source = (POOL, WEIGHTS_END)
        fields = self._shape(space, source)
        if self.choices.chance(10):
            fields["dram_pitch"] = 0
        if self.choices.chance(15):
            low, high = FILLS.get(space, (-128, 127))
            fields |= {"fill": 1, "fill_value": self.choices.integer(low, high)}
        self.add(Instruction(Opcode.LOAD, (), (), fields))

    def carry(self, opcode: Opcode) -> None:
        """Load, or store, the first plane of the state, where there is one."""
        if self.state is None:
            return
        rows, size, beat = self.state.shape[1], self.state.run_bytes, self.config.beat_bytes // 4
        room = self.config.scratchpad_words - rows * size // 4
        fields = {
            "dram_offset": STORES,
            "dram_pitch": self.state.pitches[1],
            "rows": rows,
            "bytes": size,
            "chip_address": beat * self.choices.integer(0, room // beat),
            "chip_pitch": size // 4,
        }
        self.add(Instruction(opcode, (), (), fields))

    def _kept(self) -> list[tuple[int, int]]:
        """(first byte, end) of the state, and of the first row of each store."""
        found = [(STORES, self.state.end)] if self.state else []
        stores = [i for i in self.instructions if i.opcode is Opcode.STORE]
        return found + [(i["dram_offset"], i["dram_offset"] + i["bytes"]) for i in stores]

    def store(self) -> None:
        """A strided store."""
        fields = self._shape(Space.SCRATCHPAD, (STORES, DUMP))
        self.add(Instruction(Opcode.STORE, (), (), fields))

    def dump(self) -> None:
        """Store the whole scratchpad; a helper of its unit posts where nobody can."""
        fields = {"dram_offset": DUMP, "rows": 1, "bytes": self.config.scratchpad_bytes}
        while not self.add(Instruction(Opcode.STORE, (), (), fields)):
            setup = self.setup or Instruction(Opcode.SETUP)
            self.add(Instruction(Opcode.SETUP, (), (), setup.fields))
            self._tail_load()
            self.windows()

    def _tail_load(self) -> None:
        fields = {"space": Space.TABLES, "dram_offset": POOL, "rows": 1, "bytes": 16}
        self.add(Instruction(Opcode.LOAD, (), (), fields))

    # -- windows ----------------------------------------------------------------------------------

    def windows(self) -> None:
        """A DEPTHWISE over lines of the scratchpad; not on an accelerator without the engine."""
        if self.config.tap_words and (found := random_window(self.choices, self.config)):
            self.add(found)

    # -- matrix products --------------------------------------------------------------------------

    def products(self) -> None:
        """A SETUP and one to three MATMULs under it, or one sum over several MATMULs."""
        counts, levels = random_counts(self.choices, self.config.tile_words)
        setup = random_setup(self.choices, self.config, counts, levels)
        if not self.add(setup):
            return
        self.setup = setup
        if self.choices.chance(35):
            self._split_sum(counts, levels)
            return
        for _ in range(self.choices.pick([1, 1, 2, 3])):
            if self.choices.chance(30):
                counts, levels = random_counts(self.choices, self.config.tile_words)
            flags = self.choices.pick([(1, 1), (1, 1), (1, 1), (1, 0), (0, 1)])
            self._matmul(counts, levels, self._reduction(levels), *flags)

    def _split_sum(self, counts: list[int], levels: int) -> None:
        """First, middle and last pass in MATMULs of their own, over the same accumulators."""
        reduction = self._reduction(levels)
        acc = self._acc(counts, levels, reduction)
        middle = self.choices.integer(0, 2)
        if self._matmul(counts, levels, reduction, 1, 0, acc):
            for _ in range(middle):
                self._matmul(counts, levels, reduction, 0, 0, acc)
            self._matmul(counts, levels, reduction, 0, 1, acc)

    def _reduction(self, levels: int) -> int:
        mask = 0
        for level in range(levels, LOOP_LEVELS):
            mask |= self.choices.chance(50) << level
        return mask

    def _acc(self, counts: list[int], levels: int, reduction: int) -> dict[str, int]:
        """Jumps and address of the accumulators: mostly one row for each row of a sum."""
        choices, rows = self.choices, self.config.accumulator_rows
        if choices.chance(85):
            steps, dense = [], 1
            for level, count in enumerate(counts):
                keeps = level >= levels and (reduction >> level & 1 or choices.chance(30))
                steps.append(0 if keeps or dense * count > rows else dense)
                dense *= 1 if steps[-1] == 0 else count
        else:
            steps = random_strides(choices, counts, 1, rows)
        return placed(choices, "acc", counts, jump_fields("acc_jump", counts, steps), 1, 1, rows)

    def _matmul(
        self, counts: list[int], levels: int, reduction: int, first: int, last: int, acc=None
    ) -> bool:
        choices, config = self.choices, self.config
        line, words = config.line_bytes // 4, config.scratchpad_words
        assert self.setup is not None
        kind = ResultType(self.setup["result_type"])
        acc = acc or self._acc(counts, levels, reduction)
        # Lines mostly, as in products; any word, as in convolutions, often.
        unit = choices.pick([line, line, 1])
        steps = random_strides(choices, counts, unit, words // 2)
        jumps = jump_fields("act_jump", counts, steps)
        act = placed(choices, "act", counts, jumps, choices.pick([unit, 1]), line, words)
        h = config.tile_words
        unit = choices.pick([h, h, 1])
        steps = random_strides(choices, counts, unit, config.weight_words // 2, levels)
        jumps = jump_fields("weight_jump", counts, steps, max(levels, 1))
        weight = placed(choices, "weight", counts, jumps, 1, h, config.weight_words)
        align = result_align_words(kind, config)
        jumps = {n: v for n, v in self.setup.fields.items() if n.startswith("result_jump")}
        row = config.cols * kind.bytes // 4
        result = placed(choices, "result", counts, jumps, align, row, words) if last else {"": 0}
        jumps = {
            n: v for n, v in self.setup.fields.items()
            if n.startswith("parameter_jump") and int(n[-1]) >= levels
        }  # fmt: skip
        pairs = config.parameter_entries // 2
        parameter = placed(choices, "parameter", counts, jumps, 1, config.cols // 2, pairs)
        if not (acc and act and weight and result and parameter):
            return False
        fields = {f"count{i}": c for i, c in enumerate(counts)}
        fields.update(tile_levels=levels, reduction=reduction, first=first, last=last)
        fields.update(acc, **act, **weight)
        fields.update({n: v for n, v in {**result, **parameter}.items() if n.endswith("address")})
        return self.add(Instruction(Opcode.MATMUL, (), (), fields))
