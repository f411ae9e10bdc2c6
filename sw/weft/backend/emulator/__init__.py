"""The emulator: what each instruction means, in numpy."""

from .machine import execute
from .state import State

__all__ = ["State", "execute"]
