"""The started instances of one guest: which are idle, which are lent, and when one is ended or started.

In: the tenant for whom an instance is wanted. Out: an instance that no other tenant has used. There are never more of
them, idle and lent, than there are places.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from wasi_nn_torch.sessions.places import Places
from wasi_nn_torch.sessions.session import Session
from wasi_nn_torch.sessions.stats import PoolStats

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: The reasons for replacing an instance, beside those of `EngineStats.ended`.
_USES, _TENANT, _RUNNING = "uses", "tenant", "running"
#: The reason of `EngineStats.ended` for one that was overdue.
_TIMEOUT = "timeout"


@dataclass(eq=False)
class Started(Generic[T]):
    """One instance: its session, the object to call its exports with, its tenant, and how often it was lent."""

    session: Session
    exports: T
    tenant: Hashable
    uses: int = 0


class Instances(Generic[T]):
    """The instances of a guest called `name`, which `start` starts in a session of `open_session`.

    There are at most `size`, each of which is lent `max_uses` times. Used by any number of threads.
    """

    def __init__(
        self,
        name: str,
        open_session: Callable[[], Session],
        start: Callable[[Session], T],
        size: int,
        max_uses: int | None,
    ) -> None:
        self._name = name
        self._open_session = open_session
        self._start = start
        self._size = size
        self._max_uses = max_uses
        self._is_closed = False
        self._inherited: list[object] = []
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self.places = Places(self._size)
        #: The least recently used first.
        self._idle: list[Started[T]] = []
        self._lent = self._started = self._uses = 0
        self._replaced: Counter[str] = Counter()

    @property
    def stats(self) -> PoolStats:
        """The figures of this moment."""
        with self._lock:
            return PoolStats(
                size=self._size,
                idle=len(self._idle),
                lent=self._lent,
                waiting=self.places.waiting,
                started=self._started,
                replaced=dict(self._replaced),
                uses=self._uses,
                waits=self.places.waits,
                wait_seconds=self.places.wait_seconds,
            )

    def take_idle(self, tenant: Hashable) -> Started[T] | None:
        """Return an idle instance of the tenant, if that takes no time; the caller has taken a place."""
        with self._lock:
            found = self._newest(tenant)
            if found is None or any(each.session.ended is not None for each in self._idle):
                return None
            self._idle.remove(found)
            self._lent += 1
            self._uses += 1
        found.uses += 1
        return found

    def take(self, tenant: Hashable, on_open: Callable[[Session], object] = bool) -> Started[T]:
        """Return an idle instance of the tenant, or start one; the caller has taken a place.

        `on_open` is called with the session of one that is to be started. Raises the errors of the start, after which
        the place is free again.
        """
        found, ended = self._choose(tenant)
        try:
            for each in ended:
                self._end(each)
            found = found or self._start_one(tenant, on_open)
        except BaseException:
            with self._lock:
                self._lent -= 1
            self.places.give_back()
            raise
        found.uses += 1
        return found

    def give_back(self, instance: Started[T]) -> None:
        """Keep an instance that was lent for the next one, or end it.

        One that is overdue is ended by its thread, and keeps its place until then. Raises RuntimeError if another
        thread still calls it; then it is cancelled. Raises the exception that a receiver of its output raises at its
        end.
        """
        if instance.session.closes_later(self._forget_overdue):
            return
        reason = self._why_not_again(instance)
        with self._lock:
            self._lent -= 1
            keeps = reason is None and not self._is_closed
            if keeps:
                self._idle.append(instance)
            elif reason is not None:
                self._replaced[reason] += 1
        try:
            if reason == _RUNNING:
                instance.session.cancel()
                raise RuntimeError(
                    f"an instance of {self._name} was returned to its pool while it was called; it was cancelled, and "
                    "must not be used any more"
                )
            if not keeps:
                instance.session.close()
        finally:
            self.places.give_back()

    def keeps(self, instance: Started[T]) -> bool:
        """Whether `give_back` would keep an instance, which takes no time."""
        return not self._is_closed and self._why_not_again(instance) is None

    def _forget_overdue(self) -> None:
        """Replace an instance that is not overdue any more."""
        with self._lock:
            self._lent -= 1
            self._replaced[_TIMEOUT] += 1
        self.places.give_back()

    def close(self) -> None:
        """End the idle instances, and each lent one when it is returned; nobody gets one any more.

        Raises the first exception that a receiver of output raises meanwhile.
        """
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        self.places.close(f"the pool of {self._name} is closed")
        failures = []
        for instance in idle:
            try:
                instance.session.close()
            except Exception as error:  # noqa: BLE001  # the others are closed first
                failures.append(error)
        if failures:
            raise failures[0]

    def forget(self) -> None:
        """Begin anew in the child of a fork: the instances are those of the parent."""
        self._inherited.append(self._idle)  # what they hold is freed by the parent
        self._reset()

    def _choose(self, tenant: Hashable) -> tuple[Started[T] | None, list[Started[T]]]:
        """Count one more as lent; return the idle instance for it, if there is one, and those to end before.

        The idle instance is the one that the tenant used last. Those to end are what was cancelled or closed while it
        was idle and, if there is no room for one more, the one that was not used for the longest time.
        """
        with self._lock:
            self._lent += 1
            self._uses += 1
            dead = [each for each in self._idle if each.session.ended is not None]
            for each in dead:
                self._remove(each, each.session.ended or "")
            found = self._newest(tenant)
            if found is not None:
                self._idle.remove(found)
            elif len(self._idle) + self._lent > self._size:
                dead.append(self._idle[0])
                self._remove(self._idle[0], _TENANT)
            return found, dead

    def _newest(self, tenant: Hashable) -> Started[T] | None:
        """The idle instance that the tenant used last."""
        return next((each for each in reversed(self._idle) if each.tenant == tenant), None)

    def _remove(self, instance: Started[T], reason: str) -> None:
        self._idle.remove(instance)
        self._replaced[reason] += 1

    def _start_one(self, tenant: Hashable, on_open: Callable[[Session], object]) -> Started[T]:
        session = self._open_session()
        on_open(session)
        started = Started(session, self._start(session), tenant)
        with self._lock:
            self._started += 1
        return started

    def _end(self, instance: Started[T]) -> None:
        """End an idle instance for a caller who has not used it, and is not to get the exceptions of its end."""
        try:
            instance.session.close()
        except Exception:  # of a receiver of its output
            logger.exception("an idle instance of %s did not end well", self._name)

    def _why_not_again(self, instance: Started[T]) -> str | None:
        """Return why an instance cannot be lent again; None if it can."""
        if instance.session.is_running:
            return _RUNNING
        if instance.session.ended is not None:
            return instance.session.ended
        return _USES if self._max_uses is not None and instance.uses >= self._max_uses else None


def _after_fork() -> None:
    for instances in list(_all):
        instances.forget()


_all: weakref.WeakSet[Instances[Any]] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
