"""A pool of started instances of one guest, lent to one caller at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, NoReturn, ParamSpec, Self, TypeVar

from wasi_nn_torch.contract.arguments import not_copied, require_flag, require_whole, wrong_type
from wasi_nn_torch.sessions.durations import require_duration
from wasi_nn_torch.sessions.guests import Guest
from wasi_nn_torch.sessions.instances import Instances, Started
from wasi_nn_torch.sessions.offloading import Lane
from wasi_nn_torch.sessions.session import Session
from wasi_nn_torch.sessions.stats import PoolStats

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Pool(Generic[T]):
    """Lends started instances of one guest to any number of threads. Made by `Engine.pool`; used in a `with` block.

    Each instance has a session of its own, and is started when no idle one is left; the most recently used idle one is
    lent first. One whose guest has ended, by a trap, a timeout, an exit or otherwise, is replaced, and so is one that
    was lent `max_uses` times. **A guest keeps its state from one lease to the next**: its variables, its memory and
    what it holds in the host. With `max_uses=1` each lease gets a fresh one. With `by_tenant`, an instance that one
    tenant has used is never lent to another.
    """

    def __init__(
        self,
        guest: Guest,
        open_session: Callable[[], Session],
        start: Callable[[Session], T],
        size: int,
        max_uses: int | None,
        by_tenant: bool,
        open_lane: Callable[[], Lane],
    ) -> None:
        _require_at_least_one("size", size)
        if max_uses is not None:
            _require_at_least_one("max_uses", max_uses)
        require_flag("`by_tenant`", by_tenant)
        self._name = guest.name
        self._by_tenant = by_tenant
        self._size = size
        self._open_lane = open_lane
        self._instances = Instances(guest.name, open_session, start, size, max_uses)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise not_copied(self, "make a pool in each process")

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
        """Close the pool without making the event loop wait."""
        if kind is GeneratorExit:  # nobody awaits this any more
            self.close()
        else:
            await self._open_lane().finish(self.close)

    def lease(self, tenant: Hashable = None, timeout: float | None = None) -> Lease[T]:
        """Lend an instance for a `with` or `async with` block, which gets the object to call its exports with.

        In a pool that is told apart by tenant, the instance was used by nobody but `tenant`, where None is a tenant as
        well: those who name none share instances with each other. If all places are taken by idle instances of other
        tenants, the one that was not used for the longest time is ended.

        The block waits until an instance is free, in the order in which threads ask for one; `timeout` is the most
        seconds that it waits. Entering it raises TimeoutError if none becomes free in time, RuntimeError if the pool is
        closed, and the errors of `Engine.session` and `Session.start` if an instance does not start. Do not use the
        object after the block. Raises ValueError if a tenant is given and the pool is not told apart by tenant, and
        TypeError for a tenant that cannot be hashed.
        """
        if tenant is not None and not self._by_tenant:
            raise ValueError(
                f"the pool of {self._name} does not tell tenants apart; make it with `by_tenant=True`, or name none"
            )
        if tenant.__hash__ is None:  # it could change, and then be another tenant
            raise wrong_type("`tenant`", "what can be hashed, such as a str", tenant)
        require_duration("the timeout of a lease", timeout)
        return Lease(self, tenant, timeout)

    @property
    def stats(self) -> PoolStats:
        """The figures of this moment, for any thread."""
        return self._instances.stats

    def close(self) -> None:
        """End the idle instances now, and each lent one when it is returned; a second call does nothing.

        It does not wait for those. Whoever waits for an instance, or asks for one later, gets a RuntimeError. Raises
        the first exception that a receiver of a guest's output raises meanwhile.
        """
        self._instances.close()

    async def call_async(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that calls the instance of this task's lease, as `Session.call_async` does.

        Raises RuntimeError if the task is in no `async with` block of a lease of this pool, or in several: then use
        `call_async` of the session of one.
        """
        leases = [lease for lease in _entered.get() if lease.is_of(self)]
        if len(leases) != 1:
            raise RuntimeError(
                f"this task has {len(leases)} leases of the pool of {self._name}, and `call_async` needs to know which "
                "to use; call it in the `async with` block of one lease, or use `lease.session.call_async`"
            )
        return await leases[0].session.call_async(function, *args, **kwargs)

    def _take(self, tenant: Hashable, timeout: float | None) -> Started[T]:
        if not self._instances.places.take(timeout):
            raise self._late(timeout)
        return self._instances.take(tenant)

    async def _take_async(self, tenant: Hashable, timeout: float | None) -> Started[T]:
        from wasi_nn_torch.sessions.leasing import take, take_place

        if not await take_place(self._instances.places, timeout):
            raise self._late(timeout)
        return await take(self._instances, tenant, self._open_lane())

    def _late(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(
            f"no instance of {self._name} became free within {timeout:g} s, as all {self._size} are lent; make the "
            "pool larger (`size`), or return instances sooner"
        )

    def _give_back(self, instance: Started[T]) -> None:
        self._instances.give_back(instance)

    async def _give_back_async(self, instance: Started[T]) -> None:
        if self._instances.keeps(instance):
            self._give_back(instance)
        else:
            await self._open_lane().finish(lambda: self._give_back(instance))


class Lease(Generic[T]):
    """An instance of a pool for one `with` or `async with` block. Made by `Pool.lease`; entered once."""

    def __init__(self, pool: Pool[T], tenant: Hashable, timeout: float | None) -> None:
        self._pool = pool
        self._tenant = tenant
        self._timeout = timeout
        self._instance: Started[T] | None = None
        self._was_entered = False

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise not_copied(self, "lease an instance where it is used")

    @property
    def session(self) -> Session:
        """The session of the instance that is lent, to cancel a call or to read its statistics.

        Raises RuntimeError outside the block.
        """
        if self._instance is None:
            raise RuntimeError("a lease has a session inside its `with` block only")
        return self._instance.session

    def is_of(self, pool: Pool[Any]) -> bool:
        """Whether this is an instance of that pool."""
        return pool is self._pool

    async def __aenter__(self) -> T:
        self._enter()
        self._instance = await self._pool._take_async(self._tenant, self._timeout)
        _entered.set((*_entered.get(), self))
        return self._instance.exports

    async def __aexit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Return the instance, without making the event loop wait for its end."""
        _entered.set(tuple(each for each in _entered.get() if each is not self))
        instance, self._instance = self._instance, None
        if instance is None:
            return
        if kind is GeneratorExit:  # nobody awaits this any more
            self._pool._give_back(instance)
        else:
            await self._pool._give_back_async(instance)

    def _enter(self) -> None:
        if self._was_entered:
            raise RuntimeError("a lease is entered once; call `Pool.lease` again")
        self._was_entered = True

    def __enter__(self) -> T:
        self._enter()
        self._instance = self._pool._take(self._tenant, self._timeout)
        return self._instance.exports

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            self._pool._give_back(instance)


#: The leases whose `async with` blocks the current task is in.
_entered: ContextVar[tuple[Lease[Any], ...]] = ContextVar("wasi_nn_torch.leases", default=())


def _require_at_least_one(name: str, value: int) -> None:
    if require_whole(f"`{name}` of a pool", value) < 1:
        raise ValueError(f"`{name}` of a pool is at least 1, not {value}")
