"""Compiling guests in processes of their own, which end at limits of time and memory.

A few megabytes of WebAssembly can make a compiler take minutes and gigabytes. Such a guest costs an error, and the
process that compiled it is gone.
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass

import wasmtime

from wasi_nn_torch.contract.sizes import require_amount, spell_size
from wasi_nn_torch.sessions.compile_worker import (
    ASYNC_TYPES,
    COMPONENT,
    COUNTS,
    DONE,
    INVALID,
    MODULE,
    QUICKLY,
    RESERVES,
    TEXT,
)
from wasi_nn_torch.sessions.durations import require_duration
from wasi_nn_torch.workers import kernel
from wasi_nn_torch.workers.channel import Channel, ChannelClosed, InvalidMessage
from wasi_nn_torch.workers.confinement import PARTS, Confinement
from wasi_nn_torch.workers.forkserver import shared_workers
from wasi_nn_torch.workers.server_process import WorkerError
from wit_host import CompileTask

logger = logging.getLogger(__name__)

_WORK = "wasi_nn_torch.sessions.compile_worker:work"
#: What would otherwise be loaded in each worker.
_PRELOAD = ("wasi_nn_torch.workers.rlimits", "wasi_nn_torch.workers.landlock:abi")
#: Messages to and from a worker are shorter than this, in bytes.
_MOST_BYTES = 1 << 32
#: Parsing a text takes time and memory that grow with the square of its length at worst: 20 ms for this many bytes.
_SHORT_TEXT = 1 << 16


class CompileError(Exception):
    """A guest could not be compiled; the text continues a sentence that begins with its name."""


@dataclass(frozen=True)
class CompileLimits:
    """The limits of compiling one guest: `seconds` of wall-clock time and bytes of `memory`; None means no limit.

    By default they are twelve and five times what a component of 18 MB takes on two idle cores. Raises ValueError for a
    time that is not above 0 or not finite, and for a memory below 1 byte; TypeError for what is not a number.
    """

    seconds: float | None = 120.0
    memory: int | None = 2 << 30

    def __post_init__(self) -> None:
        require_duration("the compile limit `seconds`", self.seconds)
        require_amount("the compile limit `memory`", self.memory)
        if self.memory == 0:
            raise ValueError(f"the compile limit `memory` is {self.memory}; give at least 1 byte, or None for no limit")


#: The limits by default.
COMPILE_LIMITS = CompileLimits()


def why_not_limited() -> str:
    """Why this system compiles guests in this process, without limits; empty if it need not."""
    return kernel.unsupported() or ""


class ProcessCompiler:
    """Compiles each guest in a process of its own, within `limits`; used by any number of threads."""

    def __init__(self, limits: CompileLimits) -> None:
        self._limits = limits
        self._workers = shared_workers(_WORK, _PRELOAD)

    def compile(self, task: CompileTask) -> bytearray:
        """Compile a guest, and return its serialized form.

        Raises `wasmtime.WasmtimeError` if it is not valid, and CompileError if it passes a limit.
        """
        kind = COMPONENT if task.is_component else MODULE
        how = (RESERVES if task.reserves else b"") + (b"" if task.optimize else QUICKLY)
        how += (COUNTS if task.counts_fuel else b"") + (ASYNC_TYPES if task.async_types else b"")
        return self._do(kind + how, task.wasm)

    def parse(self, text: bytes) -> bytes:
        """Translate the text format of a guest to the binary format, and raise the same exceptions."""
        if len(text) <= _SHORT_TEXT:
            return bytes(wasmtime.wat2wasm(text))
        return bytes(self._do(TEXT, text))

    def _do(self, kind: bytes, content: bytes) -> bytearray:
        if len(content) >= _MOST_BYTES:
            raise CompileError(f"has {len(content)} bytes; at most {_MOST_BYTES - 1} can be compiled")
        # The result is native code for this process in any case, so a worker need not be confined in every respect.
        confinement = Confinement(memory=self._limits.memory, waive=PARTS)
        try:
            worker = self._workers.start(confinement, _MOST_BYTES - 1)
        except WorkerError as error:
            raise CompileError(f"could not be compiled: {error}") from None
        try:
            status, answer = self._ask(worker.channel, kind, content)
        except (ChannelClosed, InvalidMessage):
            raise self._explained(worker.end()) from None
        finally:
            worker.end()
        if status == DONE:
            return answer
        if status == INVALID:
            raise wasmtime.WasmtimeError(answer.decode(errors="replace"))
        raise self._out_of_memory()

    def _ask(self, channel: Channel, kind: bytes, content: bytes) -> tuple[bytes, bytearray]:
        end = None if self._limits.seconds is None else time.monotonic() + self._limits.seconds

        def patience() -> float:
            left = 3600.0 if end is None else end - time.monotonic()
            if left <= 0:
                raise self._overdue()
            return left

        channel.send(kind, patience=patience)
        channel.send(content, patience=patience)
        return bytes(channel.receive(patience)), channel.receive(patience)

    def _explained(self, status: int) -> CompileError:
        """The error for a worker that ended with this status."""
        if status == -signal.SIGABRT:  # so end compilers that are refused memory
            return self._out_of_memory()
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return CompileError(
            f"could not be compiled, because the process that compiled it ended by {how}; see whether the memory of "
            "this machine is exhausted"
        )

    def _overdue(self) -> CompileError:
        return CompileError(
            f"takes more than {self._limits.seconds:g} s to compile; if you trust it, raise the limit: "
            "`--compile-timeout`, in Python `Engine(compile_limits=CompileLimits(seconds=…))`"
        )

    def _out_of_memory(self) -> CompileError:
        limit = "this machine has" if self._limits.memory is None else spell_size(self._limits.memory)
        return CompileError(
            f"needs more memory than {limit} to compile; if you trust it, raise the limit: "
            "`--compile-memory`, in Python `Engine(compile_limits=CompileLimits(memory=…))`"
        )


def compiler_within(limits: CompileLimits | None) -> ProcessCompiler | None:
    """The compiler with these limits; None if guests are compiled in this process."""
    if limits is None:
        return None
    reason = why_not_limited()
    if not reason:
        return ProcessCompiler(limits)
    logger.info("guests are compiled in this process, without limits of time and memory: %s", reason)
    return None
