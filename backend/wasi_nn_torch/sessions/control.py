"""The guest of a session, as an event loop sees it: `offloading.Guest`."""

from __future__ import annotations

from collections.abc import Callable

from wasi_nn_torch.serving.refusals import Refusals
from wasi_nn_torch.sessions.guest_record import explain
from wit_host import GuestTimeout, Store
from wit_host.core import CoreStore


class Control:
    """See `offloading.Guest`. `store` returns the store of the guest once it is open; `refusals` are its errors."""

    def __init__(
        self, cancel: Callable[[], object], store: Callable[[], Store | CoreStore | None], refusals: Refusals
    ) -> None:
        self._cancel = cancel
        self._store = store
        self._refusals = refusals

    @property
    def time_left(self) -> float | None:
        """See `offloading.Guest`."""
        store = self._store()
        return None if store is None else store.time_left

    def cancel(self) -> None:
        """See `offloading.Guest`."""
        self._cancel()

    def stop_if_late(self) -> None:
        """See `offloading.Guest`."""
        store = self._store()
        if store is not None:
            store.stop_if_late()

    def give_up(self) -> GuestTimeout:
        """See `offloading.Guest`; the text of the error has the reason."""
        store = self._store()
        error = GuestTimeout("the guest did not end in time") if store is None else store.give_up()
        explain(error, self._refusals)
        return error
