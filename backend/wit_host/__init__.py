"""The runtime of generated bindings: it carries values between a guest and Python. It does not depend on torch.

Bindings are made of `Linker`, `Resource`, the `Guest…` classes, `Ok`, `Err`, `Some`, `ResultError` and the codecs in
`wit_host.values`; a host that runs guests uses `Engine`, the `Store` that it makes, and the exceptions.

Three packages are public: this one; `wit_host.values`, the codecs; and `wit_host.core`, which runs core modules. All
others are private. From top to bottom, each imports only those below it:

    engine                      compiles guests, and makes stores
    component, core             the runtimes for components and for core modules
    values, running             codecs of WIT types; running any guest
    crossing                    the memory and the resources that guests and the host share
    rewrite, cache, capi        component binaries; compiled guests on disk; Wasmtime's C API
    cache_directory, compiling  the directory of the cache; compiling in this process or elsewhere
    cache_files, private_copy   signed files; native code that nothing can change
    sealed_files                files that nothing can change
    made_for, owners, errors, forked, generics, lazy, misfits, printing, results, versions, views
"""

from __future__ import annotations

from . import made_for  # noqa: F401  # first: it refuses other versions of wasmtime
from .cache import CompileCache
from .cache_directory import CacheDirectory
from .cache_files import CacheEntry
from .compiling import Compiler, CompileTask
from .component.compiled import Component
from .component.exports import AsyncGuestFunction, GuestFunction, GuestInterface, Instance
from .component.linked import LinkedComponent
from .component.linker import Linker
from .component.store import Store
from .crossing.awaiting import awaiting_in
from .crossing.bounds import Bounds
from .crossing.guest_resources import GuestResource, GuestResourceType
from .crossing.pausing import Signal, pause
from .crossing.per_store import per_store
from .crossing.resources import Resource
from .crossing.transport import Bytes, ByteSource, write_bytes
from .engine import Engine, precompile
from .errors import (
    GuestCancelled,
    GuestError,
    GuestExit,
    GuestLimit,
    GuestTimeout,
    GuestTrap,
    LinkError,
    ResultError,
)
from .generics import TypeVar
from .owners import why_foreign, why_replaceable
from .printing import printable
from .results import Err, Ok, Some
from .running.ticker import Ticker
from .running.wasi import WasiConfig
from .values import FloatArray, IntArray
from .views import copy_from_address, copy_memory, copy_to_address, view_memory, view_of

__all__ = [
    "AsyncGuestFunction",
    "Bounds",
    "ByteSource",
    "Bytes",
    "CacheDirectory",
    "CacheEntry",
    "CompileCache",
    "CompileTask",
    "Compiler",
    "Component",
    "Engine",
    "Err",
    "FloatArray",
    "GuestCancelled",
    "GuestError",
    "GuestExit",
    "GuestFunction",
    "GuestInterface",
    "GuestLimit",
    "GuestResource",
    "GuestResourceType",
    "GuestTimeout",
    "GuestTrap",
    "Instance",
    "IntArray",
    "LinkError",
    "LinkedComponent",
    "Linker",
    "Ok",
    "Resource",
    "ResultError",
    "Signal",
    "Some",
    "Store",
    "Ticker",
    "TypeVar",
    "WasiConfig",
    "awaiting_in",
    "copy_from_address",
    "copy_memory",
    "copy_to_address",
    "pause",
    "per_store",
    "precompile",
    "printable",
    "view_memory",
    "view_of",
    "why_foreign",
    "why_replaceable",
    "write_bytes",
]
