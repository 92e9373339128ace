"""The lifecycle of the guest of one session: it is run or started once, cancelled by any thread, and ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from wasi_nn_torch import hosts
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.serving.serving import Serving
from wasi_nn_torch.sessions.guest_record import GuestRecord, explain
from wasi_nn_torch.sessions.guests import Guest, GuestSource
from wasi_nn_torch.sessions.limits import Limits
from wasi_nn_torch.sessions.opening import Opened, open_guest, require_startable
from wasi_nn_torch.sessions.runtime import Runtime
from wasi_nn_torch.sessions.tally import ending_of
from wasi_nn_torch.sessions.wasi_access import WasiAccess
from wit_host import GuestError, Store
from wit_host.core import CoreStore

T = TypeVar("T")


class Lifecycle:
    """Runs or starts one guest, and drops everything that it held when it ends: see `Session`.

    The guest uses the models of `serving`, and of the host's system what `access` grants. `deadline` is the end of its
    time, and `data` is for `per_session`.
    """

    def __init__(
        self, runtime: Runtime, serving: Serving, deadline: Deadline, limits: Limits, access: WasiAccess, data: object
    ) -> None:
        self._runtime = runtime
        self._serving = serving
        self._deadline = deadline
        self._limits = limits
        self._access = access
        self._data = data
        #: What the guest is compiled to, its record, and its store; None until the session runs or starts one.
        self.guest: Guest | None = None
        self.record: GuestRecord | None = None
        self.store: Store | CoreStore | None = None
        #: The time that it took to run or to start the guest.
        self.seconds = 0.0
        #: Held while the guest is run or started, and while the session is closed.
        self._in_use = threading.Lock()
        self._closed = False
        self._cancelled = False

    def run(self, guest: Guest | GuestSource) -> int:
        """Run a command to completion, and return its exit status: see `Session.run`."""
        if not self._in_use.acquire(blocking=False):
            raise _used()
        try:
            ready, record = self._begin(guest)
            outcome: int | BaseException = 0
            try:
                outcome = self._measured(lambda: self._open(ready).run())
                return outcome
            except BaseException as error:
                outcome = error
                raise
            finally:
                self._end(record, outcome)
                del outcome  # otherwise the exception and this frame would keep each other alive
        finally:
            self._in_use.release()

    def start(self, guest: Guest | GuestSource, cls: Callable[[object], object] | None) -> object:
        """Start a guest that stays, and return what its exports are called with: see `Session.start`."""
        if not self._in_use.acquire(blocking=False):
            raise _used()
        try:
            ready, record = self._begin(guest)
            self._deadline.restarts = True
            try:
                instance = self._measured(lambda: self._start(ready, record))
                return instance if cls is None else cls(instance)
            except BaseException as error:
                self._end(record, error)
                raise
        finally:
            self._in_use.release()

    def cancel(self) -> None:
        """Stop the guest, from any thread or signal handler: see `Session.cancel`."""
        self._cancelled = True
        self._deadline.cancel()
        store = self.store
        if store is not None:
            store.cancel()

    @property
    def ended(self) -> str | None:
        """How the guest ended, of `ending_of`; None if it has not begun, runs, or can be called."""
        record = self.record
        if record is None or record.ended is not None:
            return None if record is None else record.ended
        return "cancelled" if self._cancelled and not self.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether a thread runs the guest, or calls it, at this moment."""
        store = self.store
        return self._in_use.locked() or (store is not None and store.is_running)

    def has(self, item: object) -> bool:
        """Whether the guest has a handle of an object."""
        return self.store is not None and self.store.has(item)

    def close(self) -> None:
        """End the guest and drop everything that is left; raises RuntimeError while it runs or is called."""
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError(
                "a session cannot be closed while its guest runs; call `cancel` first, and let it return"
            )
        try:
            if self.store is not None:
                self.store.retire()
            self._closed = True
            try:
                self._release()
            finally:
                if self.record is not None:
                    self.record.finish("cancelled" if self._cancelled else "success")
        finally:
            self._in_use.release()

    def _begin(self, guest: Guest | GuestSource) -> tuple[Guest, GuestRecord]:
        """Return the guest, compiled and ready to be opened, and its record; the caller holds `_in_use`."""
        if self.record is not None:
            raise _used()
        if self._closed:
            raise RuntimeError("this session is closed; make another session")
        if not isinstance(guest, Guest):
            guest = self._runtime.compile(guest)
        self._runtime.prepare(guest)
        if guest.imports_wasi:
            self._access.prepare(guest.name)
        self._serving.refusals.guest = guest.name
        self.guest = guest
        record = GuestRecord(
            self._serving, self._deadline, self._limits.timeout, self._runtime.tally, self._access.streams.follow
        )
        self.record = record
        return guest, record

    def _measured(self, action: Callable[[], T]) -> T:
        """Call `action`, which runs or starts the guest, within its time; the text of its errors has the reason."""
        self._access.streams.follow()
        self._deadline.start(self._limits.timeout)
        started = time.perf_counter()
        try:
            return action()
        except GuestError as error:
            explain(error, self._serving.refusals)
            raise
        finally:
            self.seconds = time.perf_counter() - started

    def _start(self, guest: Guest, record: GuestRecord) -> object:
        """Start the guest, whose later calls are recorded."""
        require_startable(guest)
        opened = self._open(guest)
        instance = opened.start()
        self._deadline.stop()
        opened.store.observe(record, "session")
        return instance

    def _open(self, guest: Guest) -> Opened:
        """Open the store of the guest, and let it use the models of this session."""
        opened = open_guest(self._runtime, guest, self._access.config, self._limits)
        store = self.store = opened.store
        if self._cancelled:  # before the store existed
            store.cancel()
        # Memory that could not grow is a likely reason if the guest fails.
        store.on_memory_refusal(self._serving.refusals.record_growth)
        if guest.imports_nn or self._data is not None:
            hosts.serve(store, self._serving, self._data)
        return opened

    def _end(self, record: GuestRecord, outcome: int | BaseException) -> None:
        """Release everything, and count how the guest ended."""
        try:
            self._release()
        finally:
            record.finish(ending_of(outcome))

    def _release(self) -> None:
        try:
            if self.store is not None:
                self.store.close()
        finally:
            self._serving.close()


def _used() -> RuntimeError:
    return RuntimeError("a session runs or starts one guest, once; make another session")
