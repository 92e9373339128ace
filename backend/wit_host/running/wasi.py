"""The standard streams of a guest: its output is given to a function, whose exceptions are raised by the run.

The engine writes to an output and releases it on a thread of its own, if the guest keeps the stream open. It must not
do so while the interpreter ends, because a thread that waits for an interpreter that has ended aborts the process.
"""

from __future__ import annotations

import atexit
import errno
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import BufferedWriter, FileIO

import wasmtime

from .. import capi
from ..crossing.bounds import Bounds
from ..errors import GuestLimit
from .pipes import Pipe, is_pipe

Write = Callable[[bytes], object]
"""Receives each piece of an output."""

#: The time, in seconds, that a closing store and an ending interpreter wait for the engine.
_PATIENCE = 2.0
#: The time between two checks, in seconds.
_INTERVAL = 0.0005


class Output:
    """One output of one guest, which counts toward a bound that all outputs of the guest share.

    If it is `inherited`, the guest gets the errors of the system, not the host.
    """

    def __init__(self, write: Write, name: str, *, inherited: bool = False) -> None:
        self._receive = write
        self._inherited = inherited
        self._bound: OutputBound | None = None
        self._index = 0
        self.kept = capi.Kept()
        self.where = f"by the receiver of the {name} of the guest"

    def write(self, data: bytes, /) -> int:
        """Give `data` to the receiver; return the number of the system's error, or 0.

        Raises GuestLimit after the part that is within the bound.
        """
        within = data if self._bound is None else self._bound.within(data, self._index)
        error = self._give(within) if within else 0
        if not error and self._bound is not None and len(within) < len(data):
            raise self._bound.exceeded()
        return error

    def stop_on(self, check: Callable[[], object]) -> None:
        """Stop waiting for a reader as soon as `check` raises."""
        if isinstance(self._receive, Pipe):
            self._receive.check = check

    def share(self, bound: OutputBound, index: int) -> None:
        """Count toward a bound, as the output number `index`."""
        self._bound, self._index = bound, index

    def _give(self, data: bytes) -> int:
        try:
            self._receive(data)
        except OSError as error:
            if not self._inherited:
                raise
            return error.errno or errno.EIO
        return 0


class OutputBound:
    """The most bytes of all outputs of a guest together.

    Each output counts its own bytes, as the engine may write to each on another thread.
    """

    def __init__(self, most: int, bounds: Bounds, outputs: int) -> None:
        self._most = most
        self._bounds = bounds
        self._written = [0] * outputs

    def within(self, data: bytes, index: int) -> bytes:
        """Count bytes of the output number `index`; return those of them that are within the bound."""
        within = data[: max(0, self._most - sum(self._written))]
        self._written[index] += len(within)
        return within

    def exceeded(self) -> GuestLimit:
        """Return the trap for a guest that writes more."""
        return self._bounds.exceeded("output", f"the guest wrote more than {self._most} bytes of output")


def share_bound(outputs: Sequence[Output], bounds: Bounds) -> None:
    """Bound the bytes of all these outputs together."""
    if bounds.output is not None:
        bound = OutputBound(bounds.output, bounds, len(outputs))
        for index, output in enumerate(outputs):
            output.share(bound, index)


class WasiConfig(wasmtime.WasiConfig):
    """Wasmtime's configuration, with functions for outputs that may raise; the exception ends the guest."""

    def __init__(self) -> None:
        capi.init_wasi(self)
        self.outputs: list[Output] = []

    @property
    def argv(self) -> None:
        """The arguments of the guest, the first of which is its name; they can only be set."""
        raise AttributeError("argv can only be set")

    @argv.setter
    def argv(self, arguments: Sequence[str]) -> None:
        if not capi.set_arguments(self, arguments):
            raise wasmtime.WasmtimeError("the arguments of the guest cannot be set")

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

    @staticmethod
    def pipe(file: FileIO | BufferedWriter) -> Write | None:
        """Return a function that writes to a pipe or socket, and stops when the guest has to; None for other files."""
        return Pipe(file.fileno(), file.flush) if is_pipe(file.fileno()) else None

    def inherit_stdout(self, *, counted: bool = False) -> None:
        """Let the guest write to the standard output of this process; if `counted`, it counts toward the bound.

        A terminal is never counted: the guest sees a terminal too, and writes each line at once.
        """
        write = _writer(1, counted)
        if write is None:
            super().inherit_stdout()
        else:
            capi.set_stdout(self, self._output(write, "standard output", inherited=True))

    def inherit_stderr(self, *, counted: bool = False) -> None:
        """Let the guest write to the standard error of this process, as `inherit_stdout`."""
        write = _writer(2, counted)
        if write is None:
            super().inherit_stderr()
        else:
            capi.set_stderr(self, self._output(write, "standard error", inherited=True))

    @property
    def stdin_bytes(self) -> None:
        """Let the guest read these bytes from its standard input; it can only be set."""
        raise AttributeError("stdin_bytes can only be set")

    @stdin_bytes.setter
    def stdin_bytes(self, content: bytes) -> None:
        capi.set_stdin(self, content)

    def _output(self, write: Write, name: str, *, inherited: bool = False) -> Output:
        output = Output(write, name, inherited=inherited)
        self.outputs.append(output)
        return output


def _writer(descriptor: int, counted: bool) -> Write | None:
    """Return the function that writes to a stream of this process; None if the engine can write to it itself."""
    if is_pipe(descriptor):
        return Pipe(descriptor)
    return partial(_write_all, descriptor) if counted and not os.isatty(descriptor) else None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def wait_for(outputs: Iterable[Output]) -> None:
    """Return when the engine has released all these outputs, or after two seconds."""
    end = time.monotonic() + _PATIENCE
    for output in outputs:
        while capi.is_kept(output) and time.monotonic() < end:
            time.sleep(_INTERVAL)


def _finish() -> None:
    """Wait for all outputs before the interpreter ends, and let none wait for its reader any longer."""
    outputs = [each for each in _kept() if each not in _of_parent]
    wait_for(outputs)
    for output in outputs:
        output.stop_on(_give_up)
    wait_for(outputs)


def _give_up() -> None:
    raise OSError(errno.EPIPE, "the program ends, and nobody reads this output")


def _kept() -> list[Output]:
    return [each for each in capi.all_kept() if isinstance(each, Output)]


#: The outputs that the parent of this process, which was forked, had: no thread of this process releases them.
_of_parent: list[Output] = []

atexit.register(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _of_parent.extend(_kept()))
