import dataclasses

import pytest
from amaranth.back import rtlil

from control_bench import run_program
from dummy_unit import DUMMY, DUMMY_OPCODE, WIDER, WiderConfig, add_opcode
from weft import dram
from weft.compiler.cost.machine import ENGINES
from weft.compiler.cost.predict import predict, simulate_units
from weft.compiler.schedule.emit import fetch_order
from weft.errors import ProgramRefused
from weft.program.queues import Deadlock, QueueMachine
from weft.verify.hazards import check_hazards
from weft.verify.order import Order, execution_order
from weft_hw import docgen
from weft_hw.config import PRESETS, AcceleratorConfig, ConfigError
from weft_hw.control.control import Control
from weft_hw.isa import (
    UNITS,
    Counter,
    Instruction,
    Opcode,
    Unit,
    opcode_units,
    queued,
    unit_counters,
)
from weft_hw.registers import REGISTERS, register_map

CONFIG = WiderConfig(**PRESETS["tiny"].as_dict())
TRANSFER = {"rows": 1, "bytes": 16}


@pytest.fixture
def chain(monkeypatch):
    """Load, dummy and store, each after the one before."""
    add_opcode(monkeypatch)
    return [
        Instruction(Opcode.LOAD, posts=(0,), fields=TRANSFER),
        Instruction(DUMMY_OPCODE, waits=(0,), posts=(1,)),
        Instruction(Opcode.STORE, waits=(1,), fields=TRANSFER),
        Instruction(Opcode.END),
    ]


def test_rows_and_opcodes():
    assert [spec.unit for spec in UNITS] == list(Unit)
    assert set(opcode_units()) == set(Opcode)
    depths = {f.name for f in dataclasses.fields(AcceleratorConfig) if f.name.endswith("_queue")}
    assert {spec.queue for spec in queued()} == depths


def test_two_counters_may_not_share_a_slot_or_a_name():
    def table(counter):
        return [dataclasses.replace(UNITS[0], counters=(Counter("a", 0, ""), counter))]

    with pytest.raises(ValueError, match="^counters a and b must not share slot 0$"):
        unit_counters(table(Counter("b", 0, "")))
    with pytest.raises(ValueError, match="^counters must have different names, not a, a$"):
        unit_counters(table(Counter("a", 1, "")))


def test_a_further_unit_has_a_queue_depth():
    assert CONFIG.dummy_queue == 2
    with pytest.raises(ConfigError, match="^dummy_queue must be a power of two in 2..16, not 3$"):
        CONFIG.replace(dummy_queue=3)


def test_a_further_unit_has_registers():
    registers = register_map(WIDER)
    assert registers["dummy_steps"].offset == 0x150
    assert {**REGISTERS, **registers} == registers


def test_a_further_unit_is_in_the_documents(monkeypatch):
    add_opcode(monkeypatch)
    monkeypatch.setitem(docgen._SEMANTICS, DUMMY_OPCODE, "Does nothing.\n")
    page = docgen.isa_page(WIDER)
    assert "| dummy | DUMMY | `dummy_queue` | wait on, post |" in page
    assert f"## DUMMY\n\nOpcode {int(DUMMY_OPCODE)}, dummy unit.\n\nDoes nothing." in page
    assert "| `0x150` | `dummy_steps` | steps of the dummy |" in docgen.registers_page(WIDER)


def test_a_further_unit_has_ports_and_elaborates(monkeypatch):
    add_opcode(monkeypatch)
    text = rtlil.convert(Control(CONFIG, units=WIDER))
    for port in ("ports__2__start__valid", "ports__2__retire__posts", "events__dummy_steps"):
        assert f"\\{port}\n" in text
    assert "module \\top.dummy_queue" in text


def test_a_further_unit_runs_in_control(chain):
    """Decoded, queued, held by semaphores, dispatched, counted: after load and before store."""
    bench, registers = run_program(CONFIG, chain, units=WIDER, duration=lambda unit: 20)
    assert [(s.unit, s.index) for s in bench.started] == [("load", 0), ("dummy", 1), ("store", 2)]
    cycles = {unit: cycle for unit, _, cycle in bench.retired}
    assert all(s.cycle > cycles[before] for s, before in zip(bench.started[1:], cycles))
    assert registers["instructions"] == len(chain)
    assert registers["dummy_wait_semaphore"] > 10


def test_a_further_unit_has_a_queue_in_the_abstract_machine(chain):
    assert list(QueueMachine(CONFIG, units=WIDER).run(chain)) == [0, 1, 2, 3]
    # Its queue holds two: the dispatcher never reaches the load behind the third.
    stuck = [chain[1]] * 3 + [chain[0]]
    with pytest.raises(Deadlock) as caught:
        list(QueueMachine(CONFIG, units=WIDER).run(stuck))
    assert caught.value.blocked == [(0, (0,))] and caught.value.dispatcher == 2


def test_a_further_unit_is_verified(chain):
    order = Order(chain, execution_order(chain, CONFIG, units=WIDER), units=WIDER)
    assert order.unit.tolist() == [0, 2, 3, -1] and order.before.shape == (4, 5)
    assert order.is_before(0, 1) and order.is_before(1, 2) and order.is_before(0, 2)
    with pytest.raises(ProgramRefused, match="semaphore 0 is waited on by two units") as caught:
        both = Instruction(Opcode.STORE, waits=(0,), fields=TRANSFER)
        execution_order([*chain[:2], both, chain[3]], CONFIG, units=WIDER)
    assert caught.value.rule == "semaphore"
    check_hazards(chain, [], order)


class Steady:
    """An engine that takes a hundred cycles."""

    def __init__(self, machine, unit):
        self.machine = machine

    def may_start(self, instruction):
        return True

    def start(self, instruction):
        self.machine.retire(self.machine.now + 100, instruction)


def test_a_further_unit_has_a_cost_and_a_place_in_programs(chain):
    memory = dram.memory_of(CONFIG)
    wider = {"units": WIDER, "engines": {**ENGINES, DUMMY: Steady}}
    with_dummy = predict(chain, CONFIG, memory, **wider).cycles
    direct = [chain[0], dataclasses.replace(chain[2], waits=(0,)), chain[3]]
    assert 80 < with_dummy - predict(direct, CONFIG, memory).cycles < 140
    work = {Unit.STORE: [chain[2]], DUMMY: [chain[1]], Unit.LOAD: [chain[0]]}
    starts = simulate_units(work, CONFIG, memory, **wider)
    assert list(starts) == [Unit.LOAD, Unit.COMPUTE, DUMMY, Unit.STORE, Unit.DEPTHWISE]
    assert fetch_order(work, starts) == chain[:3]
