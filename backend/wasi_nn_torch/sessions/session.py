"""The session of one guest: its directories and streams, its run, and the figures of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import wasmtime

from wasi_nn_torch import hosts
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.limiting import advice
from wasi_nn_torch.serving.refusals import Refusal
from wasi_nn_torch.sessions.directories import Directory, Protected, require_apart
from wasi_nn_torch.sessions.guests import Guest, GuestSource
from wasi_nn_torch.sessions.limits import DEFAULT_LIMITS, Limits
from wasi_nn_torch.sessions.runtime import Runtime
from wasi_nn_torch.sessions.stats import SessionStats
from wasi_nn_torch.sessions.streams import Input, Output, Streams
from wit_host import GuestError, GuestTimeout, Store, WasiConfig
from wit_host.core import CoreStore, LinkedModule


class Session:
    """Runs one guest, once. Made by `Engine.session`; used by one thread at a time, in a `with` block.

    When the run ends, however it ends, every tensor that the guest left behind is dropped.
    """

    def __init__(
        self,
        runtime: Runtime,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str | Directory] | None = None,
        limits: Limits | None = None,
        stdin: Input = None,
        stdout: Output = None,
        stderr: Output = None,
        data: object = None,
    ) -> None:
        self._runtime = runtime
        self._data = data
        self._args = [_text(argument, "argument") for argument in args]
        self._limits = limits or DEFAULT_LIMITS
        self._streams = Streams(stdin, stdout, stderr, counts_output=self._limits.output is not None)
        self._wasi = _wasi(env or {}, dirs or {}, runtime.protected)
        if not self._streams.are_inherited:
            self._streams.set(self._wasi)
        self._deadline = Deadline()
        self._ledger = Ledger(self._limits.device_bytes, self._limits.host_bytes, self._limits.tensors, self._deadline)
        self._serving = runtime.serve(self._ledger)
        self._store: Store | CoreStore | None = None
        self._compile_seconds = 0.0
        self._from_cache = False
        self._transport = "none"
        self._run_seconds = 0.0
        self._closed = False
        self._cancelled = False
        runtime.tally.open_session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def run(self, guest: Guest | GuestSource) -> int:
        """Run a command, which is a component or a core module, to completion, and return its exit status.

        Raises InvalidGuest if `guest` cannot be read or compiled, and GuestError if it does not run to completion:
        LinkError, GuestTrap, GuestTimeout, GuestCancelled, whose text ends with the last error that the guest was
        given. An exception of a function for an output is passed on unchanged. Raises RuntimeError if the session was
        used before, and ValueError for a guest of another engine.
        """
        if self._closed or self._store is not None:
            raise RuntimeError("a session runs one guest, once; make another session")
        if not isinstance(guest, Guest):
            guest = self._runtime.compile(guest)
        self._runtime.prepare(guest)
        self._compile_seconds = guest.compile_seconds
        self._from_cache = guest.from_cache
        self._transport = guest.compiled.transport
        if guest.imports_wasi:
            self._prepare_wasi(guest.name)
        self._serving.refusals.guest = guest.name
        self._deadline.start(self._limits.timeout)
        started = time.perf_counter()
        self._runtime.tally.start_session()
        outcome: int | BaseException = 0
        try:
            outcome = self._run(guest)
            return outcome
        except GuestError as error:
            error.args = (self._serving.refusals.explain(_with_advice(error)),)
            outcome = error
            raise
        except BaseException as error:
            outcome = error
            raise
        finally:
            self._run_seconds = time.perf_counter() - started
            try:
                self._release()
            finally:
                self._runtime.tally.end_session(outcome, self._serving)
                del outcome  # otherwise the exception and this frame would keep each other alive

    def cancel(self) -> None:
        """Stop the guest, from any thread or signal handler, so that `run` raises GuestCancelled.

        WebAssembly code stops almost at once, and so does waiting in WASI for time, for input, or for the reader of a
        pipe; a computation of a model, a function that receives output, or another host call finishes first. A session
        that is cancelled before its run does not run its guest; after the run, cancelling does nothing.
        """
        self._cancelled = True
        self._deadline.cancel()
        store = self._store
        if store is not None:
            store.cancel()

    @property
    def stats(self) -> SessionStats:
        """The figures of this moment, also after `close`."""
        state = None if self._store is None else self._store.state
        return SessionStats(
            calls=dict(state.calls) if state else {},
            transport=self._transport,
            memory=self._serving.snapshot(),
            compile_seconds=self._compile_seconds,
            from_cache=self._from_cache,
            run_seconds=self._run_seconds,
            errors=self._serving.refusals.counts,
            last_refusal=self.last_refusal,
        )

    @property
    def last_refusal(self) -> Refusal | None:
        """The last error that the guest was given, which is the likely reason if it fails; None if there was none."""
        return self._serving.refusals.last

    def close(self) -> None:
        """Drop everything that is left; a second call does nothing."""
        self._closed = True
        self._release()

    def _release(self) -> None:
        try:
            if self._store is not None:
                self._store.close()
        finally:
            self._serving.close()

    def _prepare_wasi(self, name: str) -> None:
        self._wasi.argv = [name, *self._args]
        if self._streams.are_inherited:
            self._streams.set(self._wasi)
        if sys.stdout is not None:  # it is None in a program without a console
            sys.stdout.flush()  # so that the host's output comes before the guest's

    def _run(self, guest: Guest) -> int:
        linked = guest.linked
        if isinstance(linked, LinkedModule):
            core_store = self._runtime.open_core_store(self._wasi, self._limits)
            self._serve(core_store, guest)
            return core_store.run_command(linked)
        store = self._runtime.open_store(self._wasi, self._limits)
        self._serve(store, guest)
        return store.run_command(linked)

    def _serve(self, store: Store | CoreStore, guest: Guest) -> None:
        """Let the guest of `store` use the models of this session."""
        self._store = store
        if self._cancelled:  # before the store existed
            store.cancel()
        # Memory that could not grow is a likely reason if the guest fails.
        store.on_memory_refusal(self._serving.refusals.record_growth)
        if guest.imports_nn or self._data is not None:
            hosts.serve(store, self._serving, self._data)


def _with_advice(error: GuestError) -> str:
    """The text of an error; a timeout says how to raise the limit, as the other limits do by themselves."""
    return f"{error}; {advice('timeout')}" if isinstance(error, GuestTimeout) else str(error)


def _wasi(
    env: Mapping[str, str],
    dirs: Mapping[str, str | Directory],
    protected: Callable[[], Iterable[Protected]],
) -> WasiConfig:
    wasi = WasiConfig()
    if env:
        wasi.env = [(_text(name, "variable name"), _text(value, f"value of {name}")) for name, value in env.items()]
    names: set[str] = set()
    for host, guest in dirs.items():
        if not Path(host).is_dir():
            raise NotADirectoryError(f"guest directory {host} does not exist or is not a directory")
        directory = guest if isinstance(guest, Directory) else Directory(guest)
        if directory.path in names:
            raise ValueError(f"two guest directories have the name {directory.path}; give each its own name")
        names.add(directory.path)
        require_apart(host, directory.writable, protected())
        try:
            wasi.preopen_dir(
                _text(host, "directory"), _text(directory.path, "directory"), fs_mutable=directory.writable
            )
        except wasmtime.WasmtimeError:
            raise NotADirectoryError(f"guest directory {host} cannot be opened; check its permissions") from None
    return wasi


def _text(value: str, what: str) -> str:
    """`value`, if WASI can pass it on; raises ValueError otherwise."""
    if "\0" in value:
        raise ValueError(f"the guest's {what} {value!r} contains a NUL character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the guest's {what} {value!r} is not valid Unicode") from None
    return value
