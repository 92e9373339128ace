"""The standard streams of a guest: its output is given to a function, whose exceptions are raised by the run.

The engine writes to an output and releases it on a thread of its own, if the guest keeps the stream open. It must not
do so while the interpreter ends, because a thread that waits for an interpreter that has ended aborts the process.
"""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable, Iterable

import wasmtime

from .. import capi

Write = Callable[[bytes], object]
"""Receives each piece of an output."""

#: The time, in seconds, that a closing store and an ending interpreter wait for the engine.
_PATIENCE = 2.0
#: The time between two checks, in seconds.
_INTERVAL = 0.0005


class Output:
    """One output of one guest."""

    def __init__(self, write: Write, name: str) -> None:
        self.write = write
        self.kept = capi.Kept()
        self.where = f"by the receiver of the {name} of the guest"
        _open.add(self)


class WasiConfig(wasmtime.WasiConfig):
    """Wasmtime's configuration, with functions for outputs that may raise; the exception ends the guest."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Output] = []

    @property
    def stdout_custom(self) -> None:
        """Call a function with each piece that the guest writes to its standard output; it can only be set."""
        raise AttributeError("stdout_custom can only be set")

    @stdout_custom.setter
    def stdout_custom(self, write: Write) -> None:
        capi.set_stdout(self, self._output(write, "standard output"))

    @property
    def stderr_custom(self) -> None:
        """Call a function with each piece that the guest writes to its standard error; it can only be set."""
        raise AttributeError("stderr_custom can only be set")

    @stderr_custom.setter
    def stderr_custom(self, write: Write) -> None:
        capi.set_stderr(self, self._output(write, "standard error"))

    @property
    def stdin_bytes(self) -> None:
        """Let the guest read these bytes from its standard input; it can only be set."""
        raise AttributeError("stdin_bytes can only be set")

    @stdin_bytes.setter
    def stdin_bytes(self, content: bytes) -> None:
        capi.set_stdin(self, content)

    def _output(self, write: Write, name: str) -> Output:
        output = Output(write, name)
        self.outputs.append(output)
        return output


def wait_for(outputs: Iterable[Output]) -> None:
    """Return when the engine has released all these outputs, or after two seconds."""
    end = time.monotonic() + _PATIENCE
    for output in outputs:
        while capi.is_kept(output) and time.monotonic() < end:
            time.sleep(_INTERVAL)


_open: weakref.WeakSet[Output] = weakref.WeakSet()
atexit.register(lambda: wait_for(list(_open)))
