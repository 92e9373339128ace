"""The runtime under generated bindings: what crosses between a guest and Python, and how. It knows no torch.

Bindings are made of `Linker`, `Resource`, the `Guest…` classes, `Ok`, `Err`, `Some`, `ResultError` and the codecs in
`wit_host.values`; a host that runs guests uses `Engine`, the `Store` that it makes, and the exceptions.
"""

from .cache import CompileCache
from .component.compiled import Component
from .component.exports import GuestFunction, GuestInterface, Instance
from .component.linker import Linker
from .component.store import Store
from .crossing.guest_resources import GuestResource, GuestResourceType
from .crossing.resources import Resource
from .crossing.transport import Bytes, ByteSource
from .engine import Engine
from .errors import GuestCancelled, GuestError, GuestExit, GuestTimeout, GuestTrap, LinkError, ResultError
from .results import Err, Ok, Some
from .running.ticker import Ticker
from .running.wasi import WasiConfig

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
