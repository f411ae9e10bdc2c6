"""Matrix multiplication: from a problem and its constants to a program."""

from __future__ import annotations

from .lower import compile_gemm
from .problem import GemmConstants, GemmProblem
from .schedule import Schedule, schedule_gemm

__all__ = ["GemmConstants", "GemmProblem", "Schedule", "compile_gemm", "schedule_gemm"]
