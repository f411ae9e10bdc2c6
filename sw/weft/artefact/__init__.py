"""Compiled models: programs, and what the host does between them.

numpy only: this runs on a board.
"""

from .artefact import Artefact, HostStep, Port, ProgramStep

__all__ = ["Artefact", "HostStep", "Port", "ProgramStep"]
