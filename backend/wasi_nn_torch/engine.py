"""The engine, which sessions share: the compiler of guests, the device, and the models by name."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, NoReturn, Self, TypeVar, overload

from wasi_nn_torch.contract.arguments import (
    choice,
    not_copied,
    require_flag,
    require_function,
    require_text,
    require_texts,
    require_type,
    require_whole,
)
from wasi_nn_torch.contract.backend import BackendOptions, ModelSource
from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.policy import GuestModels, ModelOptions, Optimize, Release
from wasi_nn_torch.contract.sizes import require_amount
from wasi_nn_torch.contract.vocabulary import Encoding
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.imports import import_modules
from wasi_nn_torch.serving.registry import Registry
from wasi_nn_torch.sessions.compiling import COMPILE_LIMITS, CompileLimits
from wasi_nn_torch.sessions.directories import Directory
from wasi_nn_torch.sessions.graph_session import GraphSession
from wasi_nn_torch.sessions.guest_policy import DEPRECATION, GuestPolicy
from wasi_nn_torch.sessions.guests import Guest, GuestFile, GuestSource, Link
from wasi_nn_torch.sessions.limits import Limits, limits_of
from wasi_nn_torch.sessions.offloading import ASYNC_QUEUE, guest_workers
from wasi_nn_torch.sessions.pool import Pool
from wasi_nn_torch.sessions.runtime import Runtime
from wasi_nn_torch.sessions.session import Session
from wasi_nn_torch.sessions.stats import EngineStats
from wasi_nn_torch.sessions.streams import Input, Output, reusable

T = TypeVar("T")


class Engine:
    """Makes sessions, which may run in several threads at a time.

    `device` is where graphs run, such as "cuda:0" or "cpu"; by default the accelerator that PyTorch reports, or else
    the CPU. `guest_models` says which models guests may supply: "none"; those that pass a check, "isolated" in a
    confined process for each session; or "any", which can take over the host. By default it is "isolated" if this
    system can confine a process, and else "none". If it is given, the first session starts what isolation needs, which
    takes some seconds, in the background. `guest_devices` lets isolated models use other devices than the CPU. `waive`
    has the parts of the confinement, "landlock" and "seccomp", that may be lacking; see `docs/security.md`.

    `model_bytes` limits the memory of the weights of registered models on one device: unused ones are unloaded to make
    room, the least recently used first, and loaded again when a guest asks for them; None means no limit. `release`
    says where device memory goes when a session ends: "pool" keeps it for the next one, "driver" returns it to the
    driver. `threads` is the number of CPU threads for one computation; PyTorch has one such number for the whole
    process, and None does not change it. `cache` keeps compiled guests in the user's cache directory, or in the one
    that the environment variable `WASI_NN_TORCH_CACHE` names. `compile_limits` bound the time and the memory of
    compiling a guest, which happens in a process of its own; None compiles guests in this process, without limits.
    Systems other than Linux always do so. `imports` are names of Python modules, such as "torchvision", that are
    imported first because they register operators that models need.

    `async_threads` is the most guests that asyncio runs at a time, each on a thread: by default as many as there are
    processors, and at least 2. Those that wait for a coroutine of the host do not count. `async_queue` is the most that
    wait for a thread; None means no limit. `fuel` counts what guests execute, for `Limits(fuel=…)`, which makes them
    slower. `async_types` accepts guests with async functions, streams and futures in their types; in exchange, a guest
    that passes more than one borrowed resource in a call of the host traps.

    PyTorch is imported when it is first needed: by `register`, by a guest that imports wasi-nn, or here to check a
    `device` or `threads` that is given. Raises ValueError if the device does not exist, a number is not valid, a module
    cannot be imported, or models shall be isolated on a system that lacks what is not waived; TypeError for an argument
    of another type.
    """

    def __init__(
        self,
        device: object = None,
        *,
        guest_models: str | GuestModels | None = None,
        guest_devices: bool = False,
        waive: Collection[str] = (),
        model_bytes: int | None = None,
        release: str | Release = Release.POOL,
        threads: int | None = None,
        cache: bool = True,
        compile_limits: CompileLimits | None = COMPILE_LIMITS,
        imports: Sequence[str] = (),
        async_threads: int | None = None,
        async_queue: int | None = ASYNC_QUEUE,
        fuel: bool = False,
        async_types: bool = False,
    ) -> None:
        require_amount("`model_bytes`", model_bytes)
        if threads is not None:
            require_whole("`threads`", threads)
        require_type("`compile_limits`", compile_limits, (CompileLimits, NoneType), "CompileLimits(), or None")
        flags = {"guest_devices": guest_devices, "cache": cache, "fuel": fuel, "async_types": async_types}
        for name, flag in flags.items():
            require_flag(f"`{name}`", flag)
        waived = frozenset(require_texts("`waive`", waive, '["landlock"]'))
        workers = guest_workers(async_threads, async_queue)
        imports = import_modules(imports)
        chosen = None if guest_models is None else choice("`guest_models`", GuestModels, guest_models)
        policy = GuestPolicy.of(chosen, waived)
        if policy.models is GuestModels.CHECKED:
            warnings.warn(DEPRECATION, FutureWarning, stacklevel=2)
        self._release = choice("`release`", Release, release)
        self._backends = Backends(
            BackendOptions(
                _name(device),
                policy.models,
                threads,
                guest_devices=guest_devices,
                waive=policy.waive,
                prepares=guest_models is not None,
                imports=imports,
            )
        )
        if device is not None or threads is not None:
            self._backends.start()
        #: The limit of the weights of registered models on one device, as it was given.
        self.model_bytes = model_bytes
        self._registry = Registry(self._backends, model_bytes)
        self._runtime = Runtime(
            self._backends, self._registry, policy, self._release, cache, compile_limits, workers, fuel, async_types
        )
        self._pools: weakref.WeakSet[Pool[Any]] = weakref.WeakSet()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise not_copied(self, "make an engine in each process")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def device(self) -> str:
        """The device of named graphs unless `register` says otherwise, and of the target `gpu` for guests.

        Reading this property imports PyTorch.
        """
        return self._backends.default.device

    @property
    def stats(self) -> EngineStats:
        """The figures of this moment, for any thread: sessions and how they ended, errors, models, transfers."""
        return self._runtime.stats()

    def register(
        self,
        name: str,
        model: ModelSource,
        device: object = None,
        *,
        encoding: str | Encoding | None = None,
        optimize: str | Optimize | None = None,
        method: str | None = None,
        warm_up: object = None,
        dtypes: Mapping[str, object] | None = None,
        batch: Batch | None = None,
    ) -> None:
        """Load a model now and offer it to all guests as `name`.

        `model` is the path or the bytes of a TorchScript file, of an exported program or of an AOTInductor package, or
        a `torch.nn.Module`, which stays in its mode and shares its weights with guests on its own device. Other
        backends support models of other encodings; `encoding` is needed only if the model does not show which it is.

        `optimize` makes it faster: "none" computes it as it is, "freeze" turns its weights into constants, "compile"
        compiles it to native code, which takes a while; by default it gets the steps that never make it slower.
        `dtypes` declares the types of inputs that the model does not declare, such as `{"mask": torch.bool}` or
        `{"mask": "bool"}`: a guest's tensors are converted to them, and refused if they do not fit. See
        `docs/models.md`.

        `method` is the method of TorchScript or of a module that guests compute; by default `forward`.

        `warm_up` computes a few times on zeros when the model is loaded: True if the model declares the sizes of its
        inputs, as exported programs do, or else the sizes of the only input, such as (1, 3, 224, 224), or those of
        several by name, with numbers for parameters that are numbers: `{"x": (1, 512), "rate": 16000}`.

        `batch` computes together what several sessions ask of the model at about the same time: see `Batch`. The model
        must treat each row of its inputs by itself and keep no state, which is tried now, on inputs of the sizes that
        the model declares, or that `warm_up` gives.

        Raises ModelError if the model cannot be used, optimized, warmed up or batched, or lacks an input that an option
        names;
        ValueError if the name is taken, the device does not exist, or an option is not valid.
        """
        self._registry.register(
            name,
            model,
            _name(device),
            _encoding(encoding),
            ModelOptions.of(optimize, method, warm_up, dtypes, batch),
        )

    def replace(
        self,
        name: str,
        model: ModelSource,
        device: object = None,
        *,
        encoding: str | Encoding | None = None,
        optimize: str | Optimize | None = None,
        method: str | None = None,
        warm_up: object = None,
        dtypes: Mapping[str, object] | None = None,
        batch: Batch | None = None,
    ) -> None:
        """Offer another model as `name`, from any thread and while sessions run.

        The arguments are those of `register`; earlier ones do not persist. A guest that holds the old graph keeps it;
        one that asks later gets the new graph. The old one is freed once no session uses it, and until then both are in
        memory. If the new model cannot be loaded, the old one stays. Raises the errors of `register`, and ValueError if
        there is no graph of that name.
        """
        self._registry.replace(
            name,
            model,
            _name(device),
            _encoding(encoding),
            ModelOptions.of(optimize, method, warm_up, dtypes, batch),
        )

    def unregister(self, name: str) -> None:
        """Stop offering a model; a guest that holds the graph keeps it. Raises ValueError for an unknown name."""
        self._registry.unregister(name)

    @property
    def names(self) -> list[str]:
        """The names of the offered models, in the order of their registration."""
        return self._registry.names

    def files(self, name: str) -> Sequence[Path]:
        """The files that a model was loaded from, also those of its weights; none if it was not given as a file.

        Raises ValueError for an unknown name.
        """
        return self._registry.files_of(name)

    def compile(
        self,
        guest: GuestFile | GuestSource,
        link: Link | None = None,
        buffers: Collection[str] = (),
        *,
        optimize: bool = True,
        name: str | None = None,
    ) -> Guest:
        """Compile a guest to run or start it in several sessions.

        `link` is called with a `Linker` of `wit_host`, for a core module with a `CoreLinker` of `wit_host.core`, when
        the guest is linked, and defines what it may import beside WASI and wasi-nn. Generated bindings have such a
        function, which takes the implementations as well: `partial(my_bindings.add_to_linker, log_host=log)`. `buffers`
        are the interfaces whose bytes shall cross at the speed of memory: `my_bindings.BUFFERS`. `name` is what errors,
        the log and the guest itself call it; by default that is the name of its file.

        Without `optimize` the guest is compiled in less than half the time, and its own code runs slower. That is for
        guests under development; the runtime does not recommend this way of compiling for code that is not trusted.

        Raises InvalidGuest if the guest cannot be read, is not valid, or passes one of the `compile_limits`.
        """
        return self._runtime.compile(guest, link, buffers, optimize, name)

    def prepare(self, guest: Guest) -> None:
        """Import PyTorch if the guest needs it, so that the guest need not wait for it.

        `Session.run` and `Session.start` do so before the guest's time starts.
        """
        self._runtime.prepare(require_type("`prepare`", guest, Guest, "a guest that `compile` returned"))

    def session(
        self,
        *,
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
    ) -> Session:
        """A session for one guest, which it runs or starts; use it in a `with` block.

        `args` are the guest's arguments after its own name, and `env` is its whole environment. `dirs` maps the host's
        path of each directory that the guest may read to the guest's path, or to `Directory(path, writable=True)` if
        the guest may write too. `stdin` is the path of a file, bytes, or a file that is open in binary mode, which is
        read to its end at once; `stdout` and `stderr` are functions that take bytes, or files that are open in binary
        mode, which stay open. By default, each is the host's own stream. `data` is for `per_session`. If requests wait
        for a batch, those of sessions with a higher `priority` go first.

        `graphs` are the names of the graphs that the guest finds; None means all, also those that are registered later.
        All other names are answered like unknown ones. A name means the model that it has when the guest asks.

        Raises NotADirectoryError for a directory that does not exist, OSError for an input file that does not exist,
        TypeError for what is of another type, and ValueError for text that WASI cannot pass
        on, for a graph that is not registered, and for a writable directory with files that the host trusts: registered
        models, compiled guests, this package.
        """
        chosen = self._choose(graphs)
        return Session(self._runtime, args, env, dirs, limits, stdin, stdout, stderr, data, chosen, priority)

    def graph(self, name: str, limits: Limits | None = None) -> GraphSession:
        """A session in which the host itself computes a registered model, without a guest; use it in a `with` block.

            with engine.graph("net") as net:
                outputs = net.compute({"x": x})

        The computation goes the way of those of guests, with the same limits and figures. Raises NnError if there is no
        graph of that name, or no room for it.
        """
        return GraphSession(self._runtime, require_text("the name of a graph", name), limits_of(limits))

    @overload
    def pool(
        self,
        guest: Guest | GuestSource,
        *,
        size: int = 4,
        max_uses: int | None = None,
        by_tenant: bool = False,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str | Directory] | None = None,
        limits: Limits | None = None,
        stdin: Input = None,
        stdout: Output = None,
        stderr: Output = None,
        data: object = None,
        make_data: Callable[[], object] | None = None,
        graphs: Collection[str] | None = None,
        priority: int = 0,
    ) -> Pool[Any]: ...

    @overload
    def pool(
        self,
        guest: Guest | GuestSource,
        cls: Callable[[Any], T],
        *,
        size: int = 4,
        max_uses: int | None = None,
        by_tenant: bool = False,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str | Directory] | None = None,
        limits: Limits | None = None,
        stdin: Input = None,
        stdout: Output = None,
        stderr: Output = None,
        data: object = None,
        make_data: Callable[[], object] | None = None,
        graphs: Collection[str] | None = None,
        priority: int = 0,
    ) -> Pool[T]: ...

    def pool(
        self,
        guest: Guest | GuestSource,
        cls: Callable[[Any], object] | None = None,
        *,
        size: int = 4,
        max_uses: int | None = None,
        by_tenant: bool = False,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str | Directory] | None = None,
        limits: Limits | None = None,
        stdin: Input = None,
        stdout: Output = None,
        stderr: Output = None,
        data: object = None,
        make_data: Callable[[], object] | None = None,
        graphs: Collection[str] | None = None,
        priority: int = 0,
    ) -> Pool[Any]:
        """A pool of started instances of a guest, lent to any number of threads; use it in a `with` block.

        `guest` and `cls` are those of `Session.start`, and the other arguments those of `session`; `stdin` is read once
        and given to each instance. There are at most `size` instances, each in a session of its own, with the limits of
        one. An instance is replaced after `max_uses` leases; None means that it stays until it fails. `by_tenant` tells
        instances apart by the tenant that a lease names. `make_data` is called for each instance, and returns its
        `data`. See `Pool`.

        Raises InvalidGuest if `guest` cannot be compiled, TypeError for an argument of another type, and ValueError for
        a number below 1 and for a graph that is not registered.
        """
        require_function("`cls`", cls)
        require_function("`make_data`", make_data)
        guest = guest if isinstance(guest, Guest) else self._runtime.compile(guest)
        session = partial(
            Session,
            self._runtime,
            args=args,
            env=env,
            dirs=dirs,
            limits=limits,
            stdin=reusable(stdin),
            stdout=stdout,
            stderr=stderr,
            graphs=self._choose(graphs),
            priority=priority,
        )

        def open_session() -> Session:
            return session(data=data if make_data is None else make_data())

        start = partial(_start, guest=guest, cls=cls)
        open_lane = partial(self._runtime.lane, limits_of(limits))
        pool: Pool[Any] = Pool(guest, open_session, start, size, max_uses, by_tenant, open_lane)
        self._pools.add(pool)
        return pool

    def _choose(self, graphs: Collection[str] | None) -> frozenset[str] | None:
        return None if graphs is None else self._registry.choose(graphs)

    def close(self) -> None:
        """Close every pool, and release every model; one that a session still uses is freed when that session ends.

        The threads for asyncio end as soon as their guests have ended; this does not wait for them.
        """
        for pool in list(self._pools):
            pool.close()
        self._runtime.close()
        self._registry.close()
        if self._release is Release.DRIVER:
            self._backends.trim()


def _start(session: Session, guest: Guest, cls: Callable[[Any], object] | None) -> object:
    return session.start(guest) if cls is None else session.start(guest, cls)


def _encoding(encoding: str | Encoding | None) -> Encoding | None:
    return None if encoding is None else choice("`encoding`", Encoding, encoding)


def _name(device: object) -> str | None:
    """The name of a device, which may be given as an object that prints as its name, such as `torch.device`."""
    return None if device is None else str(device)
