"""The emulator: what each instruction means, in numpy."""

from .backend import EmulatorBackend
from .machine import execute
from .state import State

__all__ = ["EmulatorBackend", "State", "execute"]
