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
    cache_files, errors, misfits, printing, results, versions, views
"""

from __future__ import annotations

from .cache import CompileCache
from .cache_files import CacheEntry
from .component.compiled import Component
from .component.exports import GuestFunction, GuestInterface, Instance
from .component.linker import Linker
from .component.store import Store
from .crossing.guest_resources import GuestResource, GuestResourceType
from .crossing.resources import Resource
from .crossing.transport import Bytes, ByteSource, write_bytes
from .engine import Engine
from .errors import GuestCancelled, GuestError, GuestExit, GuestTimeout, GuestTrap, LinkError, ResultError
from .printing import printable
from .results import Err, Ok, Some
from .running.ticker import Ticker
from .running.wasi import WasiConfig
from .views import view_memory

__all__ = [
    "ByteSource",
    "Bytes",
    "CacheEntry",
    "CompileCache",
    "Component",
    "Engine",
    "Err",
    "GuestCancelled",
    "GuestError",
    "GuestExit",
    "GuestFunction",
    "GuestInterface",
    "GuestResource",
    "GuestResourceType",
    "GuestTimeout",
    "GuestTrap",
    "Instance",
    "LinkError",
    "Linker",
    "Ok",
    "Resource",
    "ResultError",
    "Some",
    "Store",
    "Ticker",
    "WasiConfig",
    "printable",
    "view_memory",
    "write_bytes",
]
