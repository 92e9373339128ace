"""The runtime that the sessions of one engine share: the compiler of guests, the models, and the sums of figures."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import wasmtime

import wit_host
from wasi_nn_torch import hosts
from wasi_nn_torch.contract.arguments import require_flag, require_function, require_text, require_texts
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import Release
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.registry import Registry
from wasi_nn_torch.serving.serving import Serving
from wasi_nn_torch.sessions.bounds import bounds_of
from wasi_nn_torch.sessions.cache import user_cache
from wasi_nn_torch.sessions.cache_key import key_path
from wasi_nn_torch.sessions.compiling import CompileLimits, compiler_within
from wasi_nn_torch.sessions.directories import Protected
from wasi_nn_torch.sessions.guest_policy import GuestPolicy
from wasi_nn_torch.sessions.guests import Guest, GuestFile, GuestSource, Link, compile_guest, read_guest
from wasi_nn_torch.sessions.limits import Limits
from wasi_nn_torch.sessions.offloading import Lane, Workers
from wasi_nn_torch.sessions.stats import EngineStats
from wasi_nn_torch.sessions.tally import Tally
from wit_host import Store
from wit_host.core import CoreStore

#: The number of threads that close sessions for asyncio.
_CLOSERS = 2
#: The directory of this package.
_PACKAGE = Path(__file__).parents[1]


class Runtime:
    """Compiles guests and opens their stores; used by any number of threads.

    `cache` keeps compiled guests in the user's cache directory. `compile_limits` are for compiling each guest in a
    process of its own; None means in this process. `workers` run guests for asyncio. `fuel` counts what guests execute.
    `async_types` accepts guests with async functions, streams and futures in their types.
    """

    def __init__(
        self,
        backends: Backends,
        registry: Registry,
        policy: GuestPolicy,
        release: Release = Release.POOL,
        cache: bool = True,
        compile_limits: CompileLimits | None = None,
        workers: Workers | None = None,
        fuel: bool = False,
        async_types: bool = False,
    ) -> None:
        self._backends = backends
        self._registry = registry
        self._policy = policy
        self._release = release
        self._cache = user_cache() if cache else None
        self._compiler = compiler_within(compile_limits)
        compiler = None if self._compiler is None else self._compiler.compile
        self._engine = wit_host.Engine(cache=self._cache, compiler=compiler, fuel=fuel, async_types=async_types)
        self._counts_fuel = fuel
        self._workers = workers or Workers("wasi-nn-guest", 1)
        self._closers = Workers("wasi-nn-close", _CLOSERS)
        #: Counts what sessions do.
        self.tally = Tally()

    def compile(
        self,
        guest: GuestFile | GuestSource,
        link: Link | None = None,
        buffers: Collection[str] = (),
        optimize: bool = True,
        name: str | None = None,
    ) -> Guest:
        """Compile a guest; raises InvalidGuest if it cannot be read, is not valid, or passes a limit.

        `link` defines imports beside WASI and wasi-nn, and `buffers` are the interfaces among them whose bytes shall
        cross at the speed of memory. Without `optimize` it is compiled more quickly, and runs slower. `name` replaces
        the name of the file.
        """
        require_function("`link`", link)
        buffers = require_texts("`buffers`", buffers, "my_bindings.BUFFERS")
        require_flag("`optimize`", optimize)
        if name is not None:
            require_text("`name`", name)
        file = guest if isinstance(guest, GuestFile) else read_guest(guest)
        compiled = compile_guest(self._engine, file, (*hosts.BUFFERS, *buffers), self._compiler, link, optimize)
        self.tally.add_guest(compiled.from_cache, compiled.compile_seconds)
        return compiled if name is None else replace(compiled, name=name)

    def prepare(self, guest: Guest) -> None:
        """Start the backend if the guest imports wasi-nn, so that the guest need not wait for PyTorch."""
        if guest.imports_nn:
            self._backends.prepare()

    def protected(self) -> Iterator[Protected]:
        """Everything that no guest may be able to change: this package, compiled guests and their key, model files."""
        yield Protected(_PACKAGE, "the package")
        key = key_path()
        if key is not None:  # also without a cache, because later runs may have one
            yield Protected(key, "the key of compiled guests", secret=True)
        if self._cache is not None:
            yield Protected(self._cache.directory.folder, "the cache of compiled guests")
        for path in self._registry.files:
            yield Protected(path, "the model file")

    def serve(self, ledger: Ledger, graphs: Collection[str] | None = None, priority: int = 0) -> Serving:
        """The operations of wasi-nn for one guest, whose tensors `ledger` counts, and who finds these `graphs`.

        `priority` is that among the sessions whose requests wait for a batch.
        """
        policy = self._policy
        served = self._backends, self._registry, ledger, policy.models, policy.why_none, self._release
        return Serving(*served, graphs, priority)

    def stats(self) -> EngineStats:
        """The figures of this moment."""
        return self.tally.stats(self._registry.figures(), self._workers.overdue)

    def require_countable(self, limits: Limits) -> None:
        """Raise ValueError for a limit on fuel, unless the engine counts it."""
        if limits.fuel is not None and not self._counts_fuel:
            raise ValueError("the limit `fuel` needs an engine that counts it; make it with `Engine(fuel=True)`")

    def lane(self, limits: Limits) -> Lane:
        """The worker threads for one session with these limits."""
        return Lane(self._workers, self._closers, limits.timeout)

    def close(self) -> None:
        """Let the worker threads end as soon as they have nothing to do."""
        self._workers.close()
        self._closers.close()

    def open_store(self, wasi: wasmtime.WasiConfig | None, limits: Limits) -> Store:
        """Open a store for one component, with the limits that do not concern tensors."""
        return self._engine.store(
            wasi=wasi,
            memory=limits.memory,
            timeout=limits.timeout,
            resources=limits.resources,
            bounds=bounds_of(limits),
        )

    def open_core_store(self, wasi: wasmtime.WasiConfig | None, limits: Limits) -> CoreStore:
        """Open a store for one core module, with the same limits."""
        return self._engine.core_store(
            wasi=wasi,
            memory=limits.memory,
            timeout=limits.timeout,
            resources=limits.resources,
            bounds=bounds_of(limits),
        )
