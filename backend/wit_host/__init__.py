"""The runtime under generated bindings: what crosses between a guest and Python, and how. It knows no torch.

Bindings are made of `Linker`, `Resource`, the `Guest…` classes, `Ok`, `Err`, `Some`, `ResultError` and the codecs in
`wit_host.values`; a host that runs guests uses `Engine`, the `Store` that it makes, and the exceptions.
"""

from __future__ import annotations

from .cache import CompileCache
from .components import Component
from .engine import Engine
from .errors import GuestCancelled, GuestError, GuestExit, GuestTimeout, GuestTrap, LinkError, ResultError
from .guest import GuestFunction, GuestInterface, Instance
from .guest_resources import GuestResource, GuestResourceType
from .linker import Linker
from .resources import Resource
from .results import Err, Ok, Some
from .store import Store
from .ticker import Ticker
from .transport import Bytes, ByteSource
from .wasi import WasiConfig

__all__ = [
    "ByteSource",
    "Bytes",
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
]
