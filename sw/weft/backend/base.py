"""The abstract device: what the emulator, the Verilated RTL and a board have in common."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Generic, TypeVar

from weft.errors import ToolMissing, UsageError
from weft.program import Array, Program, TensorSpec
from weft_hw.config import AcceleratorConfig

__all__ = ["Array", "Backend", "BackendUnavailable", "ProgramBackend"]


class BackendUnavailable(ToolMissing):
    """A backend cannot start here: a package, a program or a board is missing."""

    code = "backend-unavailable"


Loaded = TypeVar("Loaded")
Self = TypeVar("Self", bound="Backend[Any]")
#: Methods that work on the device: one thread at a time, and none after close().
_EXCLUSIVE = (
    "check_registers",
    "close",
    "counters",
    "load",
    "memory",
    "put_file",
    "read_state",
    "reset",
    "run",
    "unload",
)


def _exclusive(method: Callable[..., Any]) -> Callable[..., Any]:
    closes = method.__name__ == "close"

    @wraps(method)
    def one_at_a_time(self: Backend[Any], *arguments: Any, **named: Any) -> Any:
        with self.exclusive:
            if not closes:
                self.require_open()
                return method(self, *arguments, **named)
            try:
                return None if self.closed else method(self)
            finally:
                self.closed = True

    return one_at_a_time


class Backend(ABC, Generic[Loaded]):
    """A device that holds programs, or graphs, and runs one of them.

    Use as a context manager, or call :meth:`close`; anything else after that is a UsageError. Each
    call has the device to itself, whatever the thread; who needs it for several calls, so that no
    other thread loads another program in between, holds ``exclusive``.

    A run writes inputs, and what patches change;
    constants and states stay on the device. States keep what the run before left, also while
    something else is loaded, until :meth:`reset` or :meth:`unload`; what a run that fails leaves in
    them is undefined.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator; a program for another one is refused.

    Raises
    ------
    BackendUnavailable
        From a constructor; the remedy says what to install.
    """

    #: Short name, as the command line takes it.
    name: str
    #: What :meth:`load` takes: "program" or "graph".
    takes: str
    #: Whether `counters` has the registers' performance counters, "cycles" among them.
    counts_cycles = False

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self._program: Loaded | None = None
        #: Held while the device is used; may be taken again by the thread that holds it.
        self.exclusive = threading.RLock()
        #: Whether :meth:`close` was called.
        self.closed = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _EXCLUSIVE:
            if name in vars(cls):
                setattr(cls, name, _exclusive(vars(cls)[name]))

    def require_open(self) -> None:
        """Refuse to work after :meth:`close`; raises UsageError."""
        if self.closed:
            raise UsageError(f"the {self.name} backend is closed", "open it again")

    @property
    def program(self) -> Loaded:
        """What :meth:`run` runs; raises UsageError where nothing is loaded."""
        if self._program is None:
            raise UsageError(
                f"the {self.name} backend has no {self.takes}", f"call load({self.takes}) first"
            )
        return self._program

    @abstractmethod
    def load(self, program: Loaded) -> None:
        """Make `program` what :meth:`run` runs.

        Constants, instructions and the first values of its states are copied to the device, unless
        it is still there; then its states are as they were. What has no states may give way to the
        next one.

        Raises
        ------
        Mismatch
            It was compiled for another configuration; the message holds both hashes.
        """

    @abstractmethod
    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        """Run the program once.

        Parameters
        ----------
        inputs : name -> array of the shape and dtype that the program declares; all of them.
        patches : name -> value of each patch of the program; all of them.

        Returns
        -------
        name -> array, a copy, for each output of the program.

        Raises
        ------
        UsageError
            An input is missing, unknown, or has another shape or dtype; a patch is missing,
            unknown, or out of its range.
        DeviceError
            The accelerator stopped with an error.
        """

    @abstractmethod
    def read_state(self, name: str) -> Array:
        """Copy of state `name` of what is loaded; raises UsageError where there is none."""

    @abstractmethod
    def reset(self) -> None:
        """Give all its states their first values."""

    @abstractmethod
    def unload(self, program: Loaded | None = None) -> None:
        """Forget `program` and its states, by default everything; what is unknown is ignored."""

    @abstractmethod
    def counters(self) -> dict[str, int]:
        """Counters of the last run, by their names in ``weft_hw.registers.COUNTERS``."""

    @abstractmethod
    def memory(self) -> bytes:
        """The arena after the last run."""

    @_exclusive
    def close(self) -> None:
        """Give back what the backend holds; calling it again does nothing."""
        self._program = None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ProgramBackend(Backend[Program]):
    """A backend that runs programs; it knows them by their digest."""

    takes = "program"

    def state_spec(self, name: str) -> TensorSpec:
        """State `name` of the loaded program; raises UsageError where there is none."""
        states = self.program.states
        if name not in states:
            known = ", ".join(states) or "none"
            raise UsageError(f"the program has no state {name!r}", f"its states are: {known}")
        return states[name]

    def check_inputs(self, inputs: Mapping[str, Array]) -> None:
        """Refuse inputs that are not those of the loaded program.

        UsageError names the one that is missing, unknown, or has another shape or dtype.
        """
        wanted = self.program.inputs
        for name, spec in wanted.items():
            if name not in inputs:
                raise UsageError(f"input {name!r} is missing", f"give all of {', '.join(wanted)}")
            spec.check("input", inputs[name])
        for name in inputs:
            if name not in wanted:
                known = ", ".join(wanted) or "none"
                raise UsageError(f"the program has no input {name!r}", f"its inputs are: {known}")
