"""The instances of one guest behind HTTP: a pool that a reload replaces, while requests that run keep theirs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Generic, TypeVar

from wasi_nn_torch.sessions.pool import Pool
from wasi_nn_torch.sessions.session import Session

GuestT = TypeVar("GuestT")


class Instances(Generic[GuestT]):
    """Instances from a pool, which is closed with them."""

    def __init__(self, pool: Pool[GuestT]) -> None:
        self._pool = pool
        self._replaced: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def replaced(self) -> Mapping[str, int]:
        """How many were ended, by the reason."""
        with self._lock:
            return self._replaced + Counter(self._pool.stats.replaced)

    def renew(self, pool: Pool[GuestT]) -> None:
        """Lend those of another pool from now on. It may run in any thread."""
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
