"""Build an Amaranth component for Verilator and run a cocotb bench on it.

A test (``test_<block>.py``, pytest) names a component and a bench (``bench_<block>.py``, coroutines
of cocotb); builds are kept in ``build/sim`` by the hash of their Verilog. The bench runs inside the
simulator and takes its settings from :func:`parameters`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from weft import tools
from weft.files.once import once

__all__ = ["CLOCK_NS", "BenchFailed", "Outcome", "build", "parameters", "run", "start"]

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / "build" / "sim"
WAVES = ROOT / "build" / "waves"
#: Period of the simulated clock.
CLOCK_NS = 10
_PARAMETERS = "WEFT_BENCH_PARAMETERS"
_VERILATOR = "-Wno-fatal -Wno-lint -Wno-style --x-initial unique --no-public-flat-rw".split()
#: Coroutines take most of the time, so the simulator itself is built quickly rather than fast.
_MAKE = ("OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1")
#: What stays of a build, beside the program.
_KEPT = (".v", ".log")
#: Objects of Verilator's own sources: the same in every build, and most of the time of a small one.
_RUNTIME = ("verilated", "verilated_dpi", "verilated_threads", "verilated_vpi")


class BenchFailed(AssertionError):
    """A coroutine failed, or the simulator ended early; the message holds the end of its log."""


@dataclass(frozen=True)
class Outcome:
    """One run of a bench."""

    name: str
    seed: int
    #: Coroutines that passed.
    tests: int
    #: Simulated clock cycles of all of them, and the seconds that these took.
    cycles: int
    seconds: float
    log: Path
    waves: Path | None

    @property
    def cycles_per_second(self) -> float:
        """Speed of the simulation, Python coroutines included."""
        return self.cycles / self.seconds if self.seconds else 0.0


# -- outside the simulator -------------------------------------------------------------------------


def build(
    component: Any, name: str, *, waves: bool = False, models: Sequence[Path] = ()
) -> Path:
    """Folder of the simulator of an Amaranth `component`, whose Verilog module is `name`.

    `models` are Verilog files of the modules that the component takes from its chip family.
    """
    from weft_hw.verilog import text_of

    text = text_of(component, name)
    text += "".join(model.read_text() for model in models)
    key = f"{text}{tools.verilator_version()}{_VERILATOR}{_MAKE}{waves}".encode()

    def make(folder: Path) -> None:
        (folder / f"{name}.v").write_text(text)
        _compile(folder, name, waves)

    return once(BUILDS / f"{name}-{hashlib.sha256(key).hexdigest()[:16]}", make)


def run(
    component: Any,
    bench: str,
    *,
    name: str,
    test: str,
    seed: int,
    waves: bool = False,
    models: Sequence[Path] = (),
    only: str | None = None,
    **settings: Any,
) -> Outcome:
    """Build `component` and run the coroutines of the module `bench` on it.

    Parameters
    ----------
    name : str
        Verilog module; letters, digits and underscores.
    test : str
        Name of this run, for its folder, log and trace.
    seed : int
        Seed of ``random`` inside the bench.
    models : sequence of path
        See :func:`build`.
    only : str, optional
        Name of the one coroutine to run.
    settings : values that JSON can hold
        What :func:`parameters` gives inside the bench.

    Raises
    ------
    BenchFailed
        A coroutine failed, none ran, or the simulator ended early.
    """
    from cocotb_tools.runner import get_runner

    folder = build(component, name, waves=waves, models=models)
    place = folder / "runs" / re.sub(r"\W+", "_", test).strip("_")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    log, results = place / "bench.log", place / "results.xml"
    ended = ""
    with mock.patch.dict(os.environ, tools.simulator_environment()):
        try:
            get_runner("verilator").test(
                test_module=bench,
                hdl_toplevel=name,
                hdl_toplevel_lang="verilog",
                build_dir=folder,
                test_dir=place,
                seed=seed,
                waves=waves,
                testcase=only,
                results_xml=str(results),
                log_file=log,
                extra_env={_PARAMETERS: json.dumps(settings), "COCOTB_ANSI_OUTPUT": "0"},
            )
        except SystemExit as error:
            ended = f"the simulator ended with status {error.code}"
    passed, failed = _results(results)
    if ended or failed or not passed:
        reason = f"failed: {', '.join(failed)}" if failed else ended or "no coroutine ran"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-60:]) if log.exists() else ""
        raise BenchFailed(f"{bench} on {name}, seed {seed}: {reason}\n{tail}\n(all of it in {log})")
    trace = None
    if waves and (place / "dump.vcd").exists():
        WAVES.mkdir(parents=True, exist_ok=True)
        trace = WAVES / f"{place.name}.vcd"
        shutil.move(place / "dump.vcd", trace)
    cycles, seconds = _speed(log)
    return Outcome(test, seed, len(passed), cycles, seconds, log, trace)


def _compile(folder: Path, name: str, waves: bool) -> None:
    from cocotb_tools.runner import get_runner

    log = folder / "build.log"
    # Only the ports are open to the bench: with everything public, as cocotb asks, the simulator is
    # four times as large and several times as slow.
    control = folder / "ports.vlt"
    control.write_text(f'`verilator_config\npublic_flat_rw -module "{name}" -var "*"\n')
    env = tools.simulator_environment()
    env["MAKEFLAGS"] += " " + " ".join(_MAKE)
    key = f"{tools.verilator_version()}{_VERILATOR}{_MAKE}{waves}".encode()
    runtime = BUILDS / f"runtime-{hashlib.sha256(key).hexdigest()[:16]}"
    for part in _RUNTIME:
        if (runtime / f"{part}.o").exists():
            shutil.copy(runtime / f"{part}.o", folder)
            # make would build anew what is older than the makefile, which is not written yet.
            later = time.time() + 3600
            os.utime(folder / f"{part}.o", (later, later))
    with mock.patch.dict(os.environ, env):
        try:
            get_runner("verilator").build(
                sources=[control, folder / f"{name}.v"],
                hdl_toplevel=name,
                build_dir=folder,
                build_args=_VERILATOR,
                timescale=("1ns", "1ps"),
                waves=waves,
                log_file=log,
            )
        except (SystemExit, RuntimeError) as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
            raise BenchFailed(f"{name} does not build: {error}\n{tail}") from error
    runtime.mkdir(exist_ok=True)
    for part in _RUNTIME:
        # Renamed into place: another process may be building, too.
        os.replace(folder / f"{part}.o", runtime / f"{part}.o")
    for path in folder.iterdir():
        if path.name != name and path.suffix not in _KEPT:
            path.unlink()


def _results(path: Path) -> tuple[list[str], list[str]]:
    """(passed, failed) coroutine names of a result file; a missing file holds none."""
    if not path.exists():
        return [], []
    passed, failed = [], []
    for case in ElementTree.parse(path).iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        if case.find("skipped") is None:
            (failed if bad else passed).append(case.get("name", "?"))
    return passed, failed


def _speed(log: Path) -> tuple[int, float]:
    """(simulated cycles, seconds that they took), from the last row of cocotb's own summary."""
    row = r"\*\* TESTS=\d+ .*?([\d.]+)\s+([\d.]+)\s+[\d.]+\s+\*\*"
    nanoseconds, seconds = map(float, re.findall(row, log.read_text())[-1])
    return round(nanoseconds / CLOCK_NS), seconds


# -- inside the simulator --------------------------------------------------------------------------


def parameters() -> Mapping[str, Any]:
    """The settings that the test gave to :func:`run`."""
    return json.loads(os.environ.get(_PARAMETERS, "{}"))


async def start(
    dut: Any, *, clock: str = "clk", reset: str = "rst", active_low: bool = False
) -> None:
    """Start the clock and reset the design; returns after a rising edge, out of reset."""
    import cocotb
    from cocotb.clock import Clock
    from cocotb.triggers import ClockCycles

    signal, level = getattr(dut, reset), 0 if active_low else 1
    signal.value = level
    cocotb.start_soon(Clock(getattr(dut, clock), CLOCK_NS, unit="ns").start())
    await ClockCycles(getattr(dut, clock), 4)
    signal.value = 1 - level
    await ClockCycles(getattr(dut, clock), 1)
