"""The worked example of sw/README.md is what the compiler makes; run this file to rewrite it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.program.asm import disassemble
from weft_hw.config import preset

README = Path(__file__).resolve().parents[2] / "sw" / "README.md"
BLOCK = re.compile(r"(<!-- BEGIN GENERATED[^>]*-->\n)(.*?)(<!-- END GENERATED -->)", re.S)


def block() -> str:
    layer = random_linear(GemmProblem(5, 40, 20), np.random.default_rng(0))
    program = compile_graph(layer, preset("tiny"))
    return f"```\n{disassemble(program.instructions)}```\n"


def test_example_is_fresh():
    found = BLOCK.search(README.read_text(encoding="utf-8"))
    assert found and found.group(2) == block(), "run python tests/sw/test_readme.py"


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda m: m[1] + block() + m[3], text), encoding="utf-8")
