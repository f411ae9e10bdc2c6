"""What may become a weight or a parameter: constants, inputs, results, states and fills."""

from __future__ import annotations

import pytest

from small_programs import STATE, good, load, matmul, program, refusal, setup, store
from weft.program import TensorSpec
from weft.verify import verify
from weft_hw.isa import Space


def chained(low=-127, table=0, result_type=0, tables=b"\x01", **changes):
    """Results become the weights of a second product, by way of the arena."""
    steps = [
        load(Space.WEIGHTS, 1024),
        load(Space.PARAMETERS, 2048),
        load(Space.TABLES, 4096, 512),
        load(posts=(0,)),
        setup(low=low, table_enable=table, result_type=result_type,
              result_jump0=8 if result_type else 2),
        matmul(8, waits=(0,), posts=(1,)),
        store(waits=(1,), posts=(2,)),
        load(Space.WEIGHTS, 8192, 64, 256, waits=(2,)),
    ]
    return program(*steps, constants=[(4096, tables * 512)], **changes)


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ({"low": -127}, True),
        ({"low": 0}, True),
        ({"low": -128}, False),
        ({"low": -127, "table": 1}, True),
        ({"low": -128, "table": 1}, True),
        ({"low": 0, "table": 1, "tables": b"\x7f\x80"}, False),
        ({"low": 0, "result_type": 2}, False),
    ],
)
def test_weights_from_results(fields, accepted):
    """Only what cannot be -128 may become a weight."""
    given = chained(**fields)
    if accepted:
        verify(given)
    else:
        error = refusal(given)
        assert (error.rule, error.index) == ("weights", 7)
        assert "arena byte 8192 as a weight" in str(error)


def test_weights_from_constants():
    """One byte of -128 in what a load takes as weights; beside it there may be some."""
    data = bytearray(128)
    data[64] = 0x80
    base = list(good().instructions[:-1])
    verify(program(*base, constants=[(1024, bytes(data))]))
    data[63] = 0x80
    error = refusal(program(*base, constants=[(1024, bytes(data))]))
    assert (error.rule, error.index) == ("weights", 0)
    assert "arena byte 1087 as a weight" in str(error)


def test_shifts_of_constants():
    """An entry with a shift of 43, where a load takes it as a parameter, and beside it."""
    base = list(good().instructions[:-1])
    data = bytearray(128)
    data[64 + 6] = 43 << 1
    verify(program(*base, constants=[(2048, bytes(data))]))
    data[56 + 6] = 42 << 1
    verify(program(*base, constants=[(2048, bytes(data))]))
    data[56 + 6] = 43 << 1
    error = refusal(program(*base, constants=[(2048, bytes(data))]))
    assert (error.rule, error.index) == ("parameters", 1)


def test_fills_are_followed_to_weights():
    """What a fill leaves in the scratchpad, and a store in the arena, may become weights."""
    for value, accepted in ((-127, True), (-128, False)):
        steps = [
            load(posts=(0,), fill=1, fill_value=value),
            setup(),
            store(address=0, waits=(0,), posts=(2,)),
            load(Space.WEIGHTS, 8192, 64, 256, waits=(2,)),
        ]
        if accepted:
            verify(program(*steps))
        else:
            assert refusal(program(*steps)).rule == "weights"


def test_weights_from_inputs():
    """The host may write anything there."""
    base = list(good().instructions[:-1])
    error = refusal(program(*base, inputs=[TensorSpec("w", "int8", (1, 16), 1072, (16,))]))
    assert (error.rule, error.index) == ("weights", 0)
    assert "arena byte 1072 as a weight" in str(error)


@pytest.mark.parametrize(
    ("low", "constants", "rule"),
    [(-127, (), ""), (-128, (), "weights"), (-127, [(8240, b"\x80")], "weights")],
)
def test_weights_from_a_state(low, constants, rule):
    """What a run leaves in a state becomes weights in the next."""
    steps = [
        load(Space.WEIGHTS, 8192),
        load(Space.PARAMETERS, 2048),
        load(posts=(0,)),
        setup(low=low),
        matmul(8, waits=(0,), posts=(1,)),
        store(waits=(1,)),
    ]
    given = program(*steps, states=[STATE], constants=constants)
    if not rule:
        verify(given)
        return
    error = refusal(given)
    assert (error.rule, error.index) == (rule, 0)
