"""The instances of one guest behind HTTP: a pool that a reload replaces, while requests that run keep theirs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Generic, TypeVar

from wasi_nn_torch.sessions.guests import Guest
from wasi_nn_torch.sessions.pool import Pool
from wasi_nn_torch.sessions.session import Session

GuestT = TypeVar("GuestT")
SaidT = TypeVar("SaidT")


class Instances(Generic[GuestT, SaidT]):
    """Instances from a pool, which is closed with them. The first one of a guest that is loaded is asked something.

    `load` compiles the guest, and `open_pool` makes a pool of it, whose instances may hold `graphs`; None means all.
    What `ask` returns for the first one is `said`. Raises their errors, and those of the start.
    """

    def __init__(
        self,
        load: Callable[[], Guest],
        open_pool: Callable[[Guest], Pool[GuestT]],
        ask: Callable[[GuestT], SaidT],
        graphs: Collection[str] | None,
    ) -> None:
        self._load = load
        self._open_pool = open_pool
        self._ask = ask
        self._graphs = graphs
        self._replaced: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._guest, self._pool, self.said = self._loaded()

    @property
    def replaced(self) -> Mapping[str, int]:
        """How many were ended, by the reason."""
        with self._lock:
            return self._replaced + Counter(self._pool.stats.replaced)

    def reload(self) -> None:
        """Lend those of the guest that is loaded now; requests that run keep theirs.

        Raises the errors of the constructor, after which nothing has changed. It may run in any thread.
        """
        self._guest, pool, self.said = self._loaded()
        self._renew(pool)

    def renew_for(self, graph: str) -> None:
        """If they may hold a graph, lend new ones, which hold none yet. It may run in any thread."""
        if self._graphs is None or graph in self._graphs:
            self._renew(self._open_pool(self._guest))

    def _loaded(self) -> tuple[Guest, Pool[GuestT], SaidT]:
        guest = self._load()
        pool = self._open_pool(guest)
        try:
            with pool.lease() as first:
                return guest, pool, self._ask(first)
        except BaseException:
            pool.close()
            raise

    def _renew(self, pool: Pool[GuestT]) -> None:
        with self._lock:
            old, self._pool = self._pool, pool
            self._replaced.update(old.stats.replaced)
        old.close()

    def close(self) -> None:
        """End them, each as soon as it has answered."""
        self._pool.close()

    @asynccontextmanager
    async def lent(self, tenant: str | None) -> AsyncIterator[tuple[Session, GuestT]]:
        """One for the time of the block, of the newest pool, and its session."""
        async with AsyncExitStack() as stack:
            while True:
                pool = self._pool
                lease = pool.lease(tenant)
                try:
                    guest = await stack.enter_async_context(lease)
                    break
                except RuntimeError:  # the pool was closed, since another one replaces it
                    if pool is self._pool:
                        raise
            yield lease.session, guest
