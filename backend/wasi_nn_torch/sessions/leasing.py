"""Leases in asyncio: waiting for a place in a pool, and starting an instance on a worker thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from wasi_nn_torch.sessions.control import Control
from wasi_nn_torch.sessions.instances import Instances, Started
from wasi_nn_torch.sessions.offloading import Lane
from wasi_nn_torch.sessions.places import Places
from wasi_nn_torch.sessions.session import Session
from wit_host import GuestTimeout

T = TypeVar("T")


async def take_place(places: Places, timeout: float | None) -> bool:
    """Take a place, as `Places.take` does, without making the event loop wait."""
    request = places.request()
    if request is None:
        return True
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            await _granted(places, request)
    except TimeoutError:
        return False
    finally:
        places.count_wait(time.monotonic() - started)
    return True


async def _granted(places: Places, request: Future[None]) -> None:
    try:
        await asyncio.wrap_future(request)
    except BaseException:
        # Whoever gives places back may have given one to this request meanwhile; if so, its result comes at once.
        if not places.withdraw(request) and not request.cancelled() and request.exception() is None:
            places.give_back()
        raise


async def take(instances: Instances[T], tenant: Hashable, lane: Lane) -> Started[T]:
    """Return an instance, as `Instances.take` does, which is started on a worker thread if there is no idle one."""
    idle = instances.take_idle(tenant)
    if idle is not None:
        return idle
    starting = _Starting()
    function = partial(_take, instances, tenant, starting)
    try:
        return await lane.run(function, starting, unclaimed=instances.give_back)
    finally:
        if not starting.has_begun:  # it was cancelled in the queue, or refused
            instances.places.give_back()


def _take(instances: Instances[T], tenant: Hashable, starting: _Starting) -> Started[T]:
    starting.has_begun = True
    return instances.take(tenant, starting.open)


class _Starting:
    """A guest that is being started, for an event loop: see `offloading.Guest`."""

    def __init__(self) -> None:
        self.has_begun = False
        self._is_cancelled = False
        self._control: Control | None = None

    def open(self, session: Session) -> None:
        """The session of the guest is opened."""
        self._control = session.control()
        if self._is_cancelled:
            session.cancel()

    @property
    def time_left(self) -> float | None:
        """See `offloading.Guest`."""
        return None if self._control is None else self._control.time_left

    def cancel(self) -> None:
        """See `offloading.Guest`."""
        self._is_cancelled = True
        if self._control is not None:
            self._control.cancel()

    def stop_if_late(self) -> None:
        """See `offloading.Guest`."""
        if self._control is not None:
            self._control.stop_if_late()

    def give_up(self) -> GuestTimeout:
        """See `offloading.Guest`."""
        return GuestTimeout("the guest did not start in time") if self._control is None else self._control.give_up()
