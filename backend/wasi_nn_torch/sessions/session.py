"""The session of one guest: running, starting and calling it, the tensors that it is given, and its figures."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, Self, TypeVar, cast, overload

from wasi_nn_torch.contract.arguments import not_copied, require_function
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import TensorSource
from wasi_nn_torch.hosts import v2024_06_25, v2024_08_19, v2024_10_28
from wasi_nn_torch.hosts.exchanging import AnyTensor, HostTensor, new_tensor, take, take_elements
from wasi_nn_torch.serving.refusals import Refusal
from wasi_nn_torch.sessions.control import Control
from wasi_nn_torch.sessions.directories import Directory
from wasi_nn_torch.sessions.guests import Guest, GuestSource
from wasi_nn_torch.sessions.lifecycle import Lifecycle
from wasi_nn_torch.sessions.limits import Limits, limits_of
from wasi_nn_torch.sessions.runtime import Runtime
from wasi_nn_torch.sessions.stats import SessionStats
from wasi_nn_torch.sessions.streams import Input, Output, Streams
from wasi_nn_torch.sessions.wasi_access import WasiAccess

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
P = ParamSpec("P")


class Session:
    """Runs or starts one guest. Made by `Engine.session`; used by one thread at a time, in a `with` block.

    `run` runs a command to completion. `start` starts a guest that stays: its exports can be called until the session
    is closed. When the guest ends, however it ends, every tensor that it left behind is dropped.
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
        graphs: Collection[str] | None = None,
        priority: int = 0,
    ) -> None:
        self._data = data
        limits = limits_of(limits)
        runtime.require_countable(limits)
        streams = Streams(stdin, stdout, stderr, counts_output=limits.output is not None)
        access = WasiAccess(args, env, dirs, streams, runtime.protected)
        deadline = Deadline()
        self._ledger = Ledger(limits.device_bytes, limits.host_bytes, limits.tensors, deadline)
        self._serving = runtime.serve(self._ledger, graphs, priority)
        self._lifecycle = Lifecycle(runtime, self._serving, deadline, limits, access, data)
        self._lane = runtime.lane(limits)
        runtime.tally.open_session()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise not_copied(self, "make a session where the guest shall run")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop what other tasks run in this session, and close it without making the event loop wait.

        A guest that is overdue is not waited for; its thread closes the session when it ends.
        """
        if kind is GeneratorExit:
            self._lane.close_unawaited(self._lifecycle.close, self.control())
        else:
            await self._lane.close(self._lifecycle.close, self.control())

    def run(self, guest: Guest | GuestSource) -> int:
        """Run a command, which is a component or a core module, to completion, and return its exit status.

        Raises InvalidGuest if `guest` cannot be read or compiled, and GuestError if it does not run to completion:
        LinkError, GuestTrap, GuestTimeout, GuestCancelled, whose text ends with the last error that the guest was
        given. An exception of a function for an output is passed on unchanged. Raises RuntimeError if the session was
        used or closed before, and ValueError for a guest of another engine.
        """
        return self._lifecycle.run(guest)

    @overload
    def start(self, guest: Guest | GuestSource) -> Any: ...  # noqa: ANN401  # which of the two depends on the guest

    @overload
    def start(self, guest: Guest | GuestSource, cls: Callable[[Any], T]) -> T: ...

    def start(self, guest: Guest | GuestSource, cls: Callable[[Any], object] | None = None) -> object:
        """Start a guest that stays, and return an object to call its exports with, any number of times.

        For a component that is `cls(instance)`, where `cls` is the class of generated bindings for the exports of a
        world, such as `Guest`, or any other function of an `Instance` of `wit_host`; without `cls` it is the instance
        itself. For a core module, whose `_initialize` is called if it has one, it is the `CoreInstance` of
        `wit_host.core`, or `cls` of it.

        The limit `timeout` is for the start and for each call, all other limits are for the whole session. A call
        raises the errors of `run`. After a GuestError, or an exception of a host function, the guest has ended: every
        tensor that it held is dropped, and each later call raises a GuestError that says why. A call raises ValueError
        once the session is closed, and RuntimeError from within a host function of the same guest, or while another
        thread calls it.

        Raises the same as `run`; LinkError also for a command, and for a guest without the exports that `cls` calls;
        and any exception of `cls`.
        """
        require_function("`cls`", cls)
        started = self._lifecycle.start(guest, cls)
        _alive.add(self)
        return started

    @overload
    def tensor(
        self,
        source: TensorSource | Elements,
        *,
        dimensions: Sequence[int] | None = None,
        dtype: object = None,
        version: Literal["2024-10-28"] = "2024-10-28",
    ) -> v2024_10_28.Tensor: ...

    @overload
    def tensor(
        self,
        source: TensorSource | Elements,
        *,
        dimensions: Sequence[int] | None = None,
        dtype: object = None,
        version: Literal["2024-08-19"],
    ) -> v2024_08_19.Tensor: ...

    @overload
    def tensor(
        self,
        source: TensorSource | Elements,
        *,
        dimensions: Sequence[int] | None = None,
        dtype: object = None,
        version: Literal["2024-06-25"],
    ) -> v2024_06_25.Tensor: ...

    def tensor(
        self,
        source: TensorSource | Elements,
        *,
        dimensions: Sequence[int] | None = None,
        dtype: object = None,
        version: str = "2024-10-28",
    ) -> HostTensor:
        """Make a tensor that can be passed to the guest of this session, as `own` or `borrow` of `tensor` of wasi-nn.

        `source` is a `torch.Tensor`, an array that offers its memory by DLPack, or bytes: the elements little-endian,
        row-major and without gaps, with their `dimensions` and `dtype`, such as "FP32" or `torch.float32`. Bytes are
        copied. All other memory is shared with the caller, on whatever device it is: guests see later changes of it,
        and models only read it. `Elements` are shared as well, if wasi-nn has a type for their dtype. Rank 0 becomes
        `[1]`. `version` is that of wasi-nn in the guest's world.

        The tensor counts toward the limits of the session until the guest or the caller drops it, a model uses it up,
        or the session ends. Dropping it releases the session's reference to shared memory; a second drop does nothing.

        Raises GuestLimit, without ending the guest, if a limit of the session is exceeded; MemoryError if memory does
        not suffice; TypeError for a dtype or a layout that wasi-nn does not have; ValueError for bytes that do not fill
        their dimensions, for a tensor that requires a gradient and for memory that cannot be shared; RuntimeError if
        the session has ended.
        """
        return new_tensor(self._serving, source, dimensions, dtype, version)

    def take(self, tensor: AnyTensor) -> torch.Tensor:
        """Take a tensor out of the session: one that the guest returned, or that `tensor` made and the host still owns.

        Returns its elements, with its dimensions and dtype, on the device where they are; those of a model in another
        process are copied to the CPU. The caller owns the memory, which outlives the session. It is the memory of the
        tensor itself, without a copy, unless something else uses it as well, such as a context that keeps an input. For
        a tensor that was made from a `torch.Tensor`, it is the memory of that one. `tensor` is used up, and counts
        toward the limits of the session no longer.

        Raises ValueError if the guest has the tensor, if it was dropped, taken or used up by a computation, if it
        belongs to another session, if the session has ended, and if its bytes do not fill its dimensions; GuestError if
        the process that computed it has ended.
        """
        return cast("torch.Tensor", take(self._serving, tensor, self._lifecycle.has))

    def take_elements(self, tensor: AnyTensor) -> Elements:
        """Take the elements of a tensor out of the session, as bytes where they lie; see `take`.

        Those on an accelerator, or of a model in another process, are copied to the host's memory. The dtype is the one
        that the model gave the tensor, also if wasi-nn has no such type. Raises as `take` does.
        """
        return take_elements(self._serving, tensor, self._lifecycle.has)

    async def run_async(self, guest: Guest | GuestSource) -> int:
        """Call `run` on a worker thread of the engine; see `call_async`."""
        return await self._lane.run(partial(self.run, guest), self.control())

    @overload
    async def start_async(self, guest: Guest | GuestSource) -> Any: ...  # noqa: ANN401

    @overload
    async def start_async(self, guest: Guest | GuestSource, cls: Callable[[Any], T]) -> T: ...

    async def start_async(self, guest: Guest | GuestSource, cls: Callable[[Any], object] | None = None) -> object:
        """Call `start` on a worker thread of the engine; see `call_async`."""
        require_function("`cls`", cls)
        return await self._lane.run(partial(self.start, guest, cls), self.control())

    async def call_async(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that calls the guest, such as one of its exports, on a worker thread of the engine.

        If the task is cancelled, the guest stops as `cancel` stops it; CancelledError comes out after that, when
        everything that the guest held is free. A call that still waits for a thread is never made. At the end of
        `Limits.timeout`, GuestTimeout comes out within 50 ms, even while a model computes: that goes on until the end
        of its current operator, `stats.overdue` counts it, and then what the guest held is freed. The time that a call
        waits for a thread does not count.

        The implementations of the guest's imports may be coroutine functions, which run in the event loop.

        Raises what the function raises, EngineBusy if the queue of the engine is full, and RuntimeError if another task
        awaits the session.
        """
        return await self._lane.run(partial(function, *args, **kwargs), self.control())

    def cancel(self) -> None:
        """Stop the guest, from any thread or signal handler, so that `run`, or the call of it, raises GuestCancelled.

        WebAssembly code stops almost at once, and so does waiting in WASI for time, for input, or for the reader of a
        pipe; a computation of a model, a function that receives output, or another host call finishes first. A session
        that is cancelled before its run does not run its guest, and one that is cancelled between two calls does not
        call it any more; after the run, cancelling does nothing.
        """
        self._lifecycle.cancel()

    @property
    def data(self) -> object:
        """What `Engine.session` was given as `data`, or `make_data` of a pool made."""
        return self._data

    @property
    def stats(self) -> SessionStats:
        """The figures of this moment, also after `close`."""
        guest, record, store = self._lifecycle.guest, self._lifecycle.record, self._lifecycle.store
        state = None if store is None else store.state
        return SessionStats(
            calls=dict(state.calls) if state else {},
            transport="none" if guest is None else guest.compiled.transport,
            memory=self._serving.snapshot(),
            compile_seconds=0.0 if guest is None else guest.compile_seconds,
            from_cache=guest is not None and guest.from_cache,
            run_seconds=self._lifecycle.seconds,
            errors=self._serving.refusals.counts,
            last_refusal=self.last_refusal,
            guest_calls=0 if record is None else record.calls,
            guest_seconds=0.0 if record is None else record.seconds,
            overdue=self._lane.overdue,
            fuel=0 if store is None else store.fuel,
            batching=self._serving.batching,
        )

    @property
    def last_refusal(self) -> Refusal | None:
        """The last error that the guest was given, which is the likely reason if it fails; None if there was none."""
        return self._serving.refusals.last

    @property
    def ended(self) -> str | None:
        """How the guest ended, in the words of `EngineStats.ended`; None if it has not begun, runs, or can be called.

        A session that was cancelled has ended, and so has one whose guest was started and that was closed.
        """
        return self._lifecycle.ended

    @property
    def is_running(self) -> bool:
        """Whether a thread runs the guest, or calls it, at this moment."""
        return self._lifecycle.is_running

    def close(self) -> None:
        """End the guest and drop everything that is left; a second call does nothing.

        If the guest ran for asyncio and is overdue, its thread does so when it ends. Otherwise this raises RuntimeError
        while the guest runs or is called, which changes nothing; call `cancel` first.
        """
        if not self.closes_later():
            self._lifecycle.close()

    def control(self) -> Control:
        """What an event loop can do to the guest."""
        return Control(self.cancel, lambda: self._lifecycle.store, self._serving.refusals)

    def closes_later(self, then: Callable[[], object] = bool) -> bool:
        """Whether the guest ran for asyncio and is overdue, so that its thread closes this session when it ends.

        After that, the thread calls `then`.
        """

        def close() -> None:
            try:
                self._lifecycle.close()
            finally:
                then()

        return self._lane.closes_later(close)


#: The sessions whose guests were started and may not be closed yet.
_alive: weakref.WeakSet[Session] = weakref.WeakSet()


def _close_all() -> None:
    """Close what is left before the interpreter ends, except for guests that still run."""
    for session in list(_alive):
        with suppress(Exception):
            session.close()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alive.clear)  # they are the parent's
