"""The verifier: what it accepts, and every rule that refuses."""

from __future__ import annotations

import dataclasses

import pytest

from small_programs import END, STATE, TINY, good, load, matmul, program, refusal, setup, store
from weft.errors import ProgramRefused
from weft.program import Patch, TensorSpec
from weft.verify import verify
from weft_hw.config import preset
from weft_hw.isa import Opcode, Space


def test_accepts_the_plain_program():
    verify(good())


@pytest.mark.parametrize(
    ("changes", "rule", "index", "words"),
    [
        ({"acts": load(size=8)}, "field", 3, "bytes must be a multiple of 16, not 8"),
        ({"setup": setup(low=5, high=4)}, "field", 4, "low must not exceed high, not 5 and 4"),
        ({"setup": END}, "end", 4, "END stands before the end"),
        ({"acts": load(offset=65536 - 32)}, "range", 3,
         "LOAD in the arena reaches bytes 65504..65567, it must stay within 0..65535"),
        ({"acts": load(address=2040)}, "range", 3, "reaches bytes 8160..8223"),
        ({"matmul": matmul(8, act_jump0=-2)}, "range", 5, "activation address reaches words -14"),
        ({"matmul": matmul(8, acc_jump0=10)}, "range", 5, "accumulator address reaches rows 0..70"),
        ({"matmul": matmul(8, weight_address=249)}, "range", 5, "weight address"),
        ({"matmul": matmul(8, parameter_address=61)}, "range", 5, "parameter address"),
        ({"matmul": matmul(8, result_address=2036)}, "range", 5, "result address"),
        ({"matmul": matmul(65535, 65535, 65535, act_jump0=0)}, "size", 5, "divide it"),
        ({"store": store(32768, waits=(1,))}, "program", 6, "STORE writes over the program"),
        ({"weights": load(Space.WEIGHTS, 1024, posts=(1,))}, "semaphore", 5,
         "semaphore 1 is posted by two units: instruction 0 (LOAD) and instruction 5 (MATMUL)"),
        ({"store": store(waits=(1, 1))}, "semaphore", 6, "waits semaphore 1 twice"),
        ({"store": store(waits=(0,))}, "semaphore", 6, "semaphore 0 is waited on by two units"),
        ({"acts": load()}, "deadlock", 5, "instruction 5 waits on semaphore 0"),
        ({"matmul": matmul(8, posts=(1,))}, "hazard", 5,
         "instruction 3 (LOAD) writes and instruction 5 (MATMUL) reads scratchpad bytes 0..63, "
         "and nothing orders them"),
        ({"store": store()}, "hazard", 6, "(MATMUL) writes and instruction 6 (STORE) reads"),
        ({"tables": load(address=8)}, "hazard", 3,
         "instruction 2 (LOAD) writes and instruction 3 (LOAD) writes scratchpad bytes 32..63"),
        ({"acts": load(address=0, size=16, rows=2, chip_pitch=2, posts=(0,))}, "hazard", 3,
         "rows of 16 bytes, 8 bytes apart, overlap in scratchpad"),
        ({"store": store(size=16, rows=2, dram_pitch=0, waits=(1,))}, "hazard", 6,
         "rows of 16 bytes, 0 bytes apart, overlap in the arena"),
        ({"matmul": matmul(8, waits=(0,), posts=(1,), result_address=14)}, "hazard", 5,
         "MATMUL writes results over its own activations, scratchpad bytes 56..63"),
        ({"setup": setup(residual=1, result_jump0=0)}, "hazard", 5,
         "MATMUL with a residual writes two results at scratchpad word 512"),
        ({"setup": setup(residual=1, result_jump0=0, result_jump1=0),
          "matmul": matmul(1000, 1000, act_jump0=0, act_jump1=0)}, "hazard", 5,
         "writes two results at some scratchpad words"),
        ({"setup": setup(residual=1), "store": store(waits=(1,), posts=(2,)),
          "acts": load(posts=(0,), address=512), "matmul": matmul(8, posts=(1,))}, "hazard", 5,
         "instruction 3 (LOAD) writes and instruction 5 (MATMUL) writes scratchpad bytes"),
        ({"weights": load(Space.WEIGHTS, 1024, fill=1, fill_value=-128)}, "weights", 0,
         "instruction 0 (LOAD) fills weights with -128; they lie in -127..127"),
        ({"parameters": load(Space.PARAMETERS, 2048, fill=1, fill_value=86)}, "parameters", 1,
         "instruction 1 (LOAD) brings a parameter with a shift of 43; shifts lie in 0..42"),
        ({"setup": None}, "undefined", 4, "MATMUL stands before the first SETUP"),
        ({"weights": None}, "undefined", 4, "reads weights byte 0, which nothing has written"),
        ({"parameters": None}, "undefined", 4, "reads parameters byte 0"),
        ({"tables": None, "setup": setup(table_enable=1)}, "undefined", 4, "tables byte 0"),
        ({"matmul": matmul(8, waits=(0,), posts=(1,), first=0, acc_jump0=1)}, "undefined", 5,
         "accumulator row 0"),
        ({"matmul": matmul(8, waits=(0,), posts=(1,), last=0)}, "accumulator", 5,
         "an accumulator row, for example 0, is used again after 1 cycles; its sum is ready after"),
    ],
)  # fmt: skip
def test_refusals(changes, rule, index, words):
    error = refusal(good(**changes))
    assert (error.rule, error.index) == (rule, index), str(error)
    assert words in str(error)


def test_store_over_a_constant():
    steps = [load(posts=(0,)), store(offset=4096, address=0, waits=(0,))]
    error = refusal(program(*steps, constants=[(4144, b"x")], zeros=64))
    assert error.rule == "program" and "the constant at 4144" in str(error)


def preloads(**posts):
    return [load(Space.WEIGHTS, 1024, 2048), load(Space.PARAMETERS, 4096, 1024), load(**posts)]


def test_compute_rules_within_the_unit():
    """Later results may go over earlier activations or results; the way back needs an order."""
    first = matmul(8, waits=(0,))
    verify(program(*preloads(posts=(0,)), setup(), first, matmul(8, act_address=128)))
    verify(program(*preloads(posts=(0,)), setup(), first,
                   matmul(8, act_address=128, result_address=0)))  # fmt: skip
    reads = matmul(8, act_address=512, result_address=1024)
    error = refusal(program(*preloads(posts=(0,)), setup(), first, reads))
    assert error.rule == "hazard" and "instruction 4 (MATMUL) writes and" in str(error)
    # A SETUP starts when the unit is empty; a semaphore to itself orders as well.
    verify(program(*preloads(posts=(0,)), setup(), first, setup(), reads))
    verify(program(*preloads(posts=(0,)), setup(), matmul(8, waits=(0,), posts=(5,)),
                   matmul(8, waits=(5,), act_address=512, result_address=1024)))  # fmt: skip


def test_arena_order_between_store_and_load():
    there = store(address=0, waits=(0,))
    back = load(offset=8192, address=256)
    first = load(offset=1024, posts=(0,))
    error = refusal(program(first, there, back))
    who = "instruction 1 (STORE) writes and instruction 2 (LOAD) reads"
    assert f"{who} arena bytes 8192..8255" in str(error)
    there = store(address=0, waits=(0,), posts=(1,))
    verify(program(first, there, load(offset=8192, address=256, waits=(1,))))


def test_interleaved_rows_do_not_conflict():
    rows = {"rows": 4, "size": 16, "chip_pitch": 8}
    verify(program(load(address=0, **rows), load(address=4, **rows)))
    error = refusal(program(load(address=0, **rows), load(address=2, **rows)))
    assert "scratchpad bytes 8..15" in str(error)


def test_double_buffering_needs_the_way_back():
    """Loads may overtake by two slots and not by more."""

    def steps(wait_back: bool):
        found = preloads()[:2]
        found.append(load(Space.TABLES, 4096, 64, posts=(0,)))
        found.append(setup())
        for i in range(6):
            waits = (2,) if wait_back and i >= 2 else ()
            found.append(load(address=128 * (i % 2), waits=waits, posts=(1,)))
            needs = (0, 1) if i == 0 else (1,)
            found.append(matmul(8, waits=needs, posts=(2,) if i < 4 else (),
                                act_address=128 * (i % 2)))  # fmt: skip
        return found

    verify(program(*steps(True)))
    error = refusal(program(*steps(False)))
    assert error.rule == "hazard" and "nothing orders them" in str(error)


def test_deadlock_depends_on_the_queue_depth():
    waiting = [load(offset=64 * i, address=16 * i, waits=(0,)) for i in range(3)]
    poster = [store(offset=8192 + 64 * i, posts=(0,)) for i in range(3)]
    error = refusal(program(*waiting, *poster))
    assert error.rule == "deadlock" and "the dispatcher holds instruction 2" in str(error)
    deeper = TINY.replace(load_queue=4)
    verify(program(*waiting, *poster, config=deeper))


def test_semaphore_maximum_counts_the_latest_waiter():
    """The simulated order takes at once; another order would not."""
    posts = [load(offset=64 * i, address=16 * (i % 64), posts=(0,)) for i in range(64)]
    takes = [store(offset=8192 + 64 * i, address=1536, waits=(0,)) for i in range(64)]
    steps = [step for pair in zip(posts, takes) for step in pair]
    error = refusal(program(*steps))
    assert error.rule == "semaphore" and "instruction 126 may post semaphore 0 beyond 63" in str(
        error
    )
    verify(program(*steps[:126]))


def chain(*more, **fields):
    base = [*preloads(posts=(0,)), setup(), matmul(*more, waits=(0,), **fields)]
    return base


def test_accumulator_distance():
    h = TINY.tile_words
    # Tiles of one row: the period is h cycles, so the same row is ready again.
    verify(program(*chain(1, 4, reduction=2)))
    # Tiles of h + 1 rows that use the rows upside down meet after one cycle.
    fields = {"act_jump1": -2 * h, "reduction": 2}
    verify(program(*chain(h + 1, 2, acc_jump0=1, acc_jump1=-h, **fields)))
    steps = chain(h + 1, 2, acc_jump0=1, acc_jump1=0, **fields)
    error = refusal(program(*steps))
    assert error.rule == "accumulator" and "is used again after 1 cycles" in str(error)
    # Two instructions: the tail of the first against the head of the second.
    first = {"acc_jump0": 1, "last": 0}
    steps = chain(h, **first)
    verify(program(*steps, matmul(h, first=0, acc_jump0=1)))
    error = refusal(program(*steps, matmul(h, **first, acc_address=1)))
    assert error.rule == "accumulator" and "instructions 4 and 5" in str(error)
    verify(program(*steps, setup(), matmul(h, **first, acc_address=1)))


def test_accumulators_survive_between_instructions():
    steps = chain(8, acc_jump0=1, last=0)
    verify(
        program(*steps, matmul(8, first=0, last=0, acc_jump0=1), matmul(8, first=0, acc_jump0=1))
    )
    error = refusal(program(*steps, matmul(9, first=0, acc_jump0=1)))
    assert error.rule == "undefined" and "accumulator row 8" in str(error)


def test_a_long_program_is_accepted():
    config = preset("pynq-z2")
    n = 1000
    steps = [load(Space.PARAMETERS, 4096, 16384), load(posts=(0,), size=4096)]
    steps.append(setup(result_jump0=4))
    for i in range(n):
        slot = i % 4
        waits = (2,) if i >= 4 else ()
        steps.append(load(Space.WEIGHTS, 16384, 16384, 4096 * slot, waits=waits, posts=(1,)))
        needs = ((0, 1) if i == 0 else (1,)) + ((4,) if i >= 2 else ())
        more = (2,) if i < n - 4 else ()
        at = 4096 + 32 * (i % 2)
        steps.append(
            matmul(1, 64, waits=needs, posts=(3, *more), weight_address=1024 * slot,
                   weight_jump1=16, act_jump0=0, act_jump1=4, reduction=2, result_address=at)
        )  # fmt: skip
        posts = (4,) if i < n - 2 else ()
        steps.append(store(1 << 20 | 64 * i, 16, at, waits=(3,), posts=posts))
        if i % 4 == 3:
            steps.append(setup(result_jump0=4))
    sizes = {"zeros": 32768, "program_offset": 1 << 22, "arena_bytes": 1 << 23}
    verify(program(*steps, config=config, **sizes))
    last = max(i for i, step in enumerate(steps) if step.opcode is Opcode.LOAD)
    steps[last] = load(Space.WEIGHTS, 16384, 16384, 4096 * slot, posts=(1,))
    error = refusal(program(*steps, config=config, **sizes))
    assert (error.rule, error.index) == ("hazard", last)


def test_the_arena_is_written_before_it_is_read():
    """What an earlier run left there must not matter, but in a state."""
    reads = load(offset=8192)
    error = refusal(program(reads))
    assert (error.rule, error.index) == ("undefined", 0)
    assert "reads arena byte 8192, which nothing has written" in str(error)
    verify(program(reads, states=[STATE]))
    verify(program(reads, inputs=[dataclasses.replace(STATE, name="x")]))
    verify(program(store(posts=(0,)), load(offset=8192, waits=(0,))))
    late = store(waits=(0,))
    error = refusal(program(load(offset=8192, posts=(0,)), late))
    assert error.rule == "undefined"
    verify(program(load(offset=8192, posts=(0,)), late, states=[STATE]))
    # Padding of an input is written with it; a gap between its rows is not.
    rows = TensorSpec("x", "int8", (2, 3), 8192, (32,))
    verify(program(load(offset=8192, size=16, rows=2, dram_pitch=32, chip_pitch=8), inputs=[rows]))
    error = refusal(program(load(offset=8192, size=48), inputs=[rows]))
    assert "reads arena byte 8208" in str(error)


def test_outputs_are_written_whole():
    out = TensorSpec("out", "int8", (2, 8), 8192, (48,))
    verify(program(store(), outputs=[out]))
    error = refusal(program(store(size=48), outputs=[out]))
    assert (error.rule, error.index) == ("undefined", -1)
    assert "nothing writes arena byte 8240 of output 'out'" in str(error)


def test_tensors_of_too_many_runs_are_refused():
    many = TensorSpec("out", "int8", ((1 << 20) + 1, 16), 65536, (32,))
    error = refusal(program(store(), outputs=[many], arena_bytes=1 << 26))
    assert (error.rule, error.index) == ("size", -1)
    assert "tensor 'out' has 1048577 runs, at most 1048576 are verified" in str(error)


def test_accesses_of_a_state_are_ordered():
    error = refusal(program(store(), load(offset=8192), states=[STATE]))
    assert error.rule == "hazard" and "arena bytes 8192..8255" in str(error)
    verify(program(store(), states=[STATE], constants=[(8192, b"x")]))


def test_what_one_value_of_a_patch_leaves_another_finds():
    """Each value alone is good; after a run with one, a run with zero takes -128 as a weight."""
    steps = [
        load(Space.WEIGHTS, 8192),
        load(Space.PARAMETERS, 2048),
        load(posts=(0,)),
        setup(),
        matmul(8, waits=(0,), posts=(1,)),
        store(8256, waits=(1,)),
    ]
    patch = Patch("where", 0, 1, [(0, "dram_offset", -4096), (5, "dram_offset", -64)])
    given = program(*steps, states=[STATE], patches=[patch])
    for value in (0, 1):
        verify(given.patched({"where": value}))
    error = refusal(given)
    assert (error.rule, error.index) == ("weights", 0)
    assert error.message.startswith("where=0: instruction 0 (LOAD) takes arena byte 8192")


def test_every_combination_of_patches_is_verified():
    patches = [Patch("a", 0, 15, [(0, "dram_offset", 512)]), Patch("b", 0, 3, [(0, "bytes", 16)])]
    verify(program(load(), patches=patches))
    worse = [patches[0], Patch("b", 0, 28, [(0, "bytes", 16)])]
    base = program(load(), patches=worse)
    verify(base.patched({"a": 15, "b": 28}))
    with pytest.raises(ProgramRefused, match="have 464 combinations of values, at most 256") as e:
        verify(base)
    assert e.value.rule == "patches" and "verify program.patched(values)" in e.value.remedy
    worse[1] = Patch("b", 15, 25, [(0, "bytes", 16)])
    error = refusal(program(load(offset=64), patches=worse))
    assert error.rule == "undefined"
    assert error.message.startswith("a=15, b=25: instruction 0 (LOAD) reads arena byte 8192")
