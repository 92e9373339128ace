"""The runtime under generated bindings: what crosses between a guest and Python, and how. It knows no torch.

Bindings are made of `Linker`, `Resource`, `ResultError` and the codecs in `wit_host.values`; a host that runs guests
uses `Store` and the exceptions.
"""

from wit_host.errors import GuestError, GuestTimeout, GuestTrap, LinkError, ResultError
from wit_host.linker import Linker
from wit_host.resources import Resource
from wit_host.store import Store
from wit_host.ticker import Ticker
from wit_host.transport import Bytes, ByteSource

__all__ = [
    "ByteSource",
    "Bytes",
    "GuestError",
    "GuestTimeout",
    "GuestTrap",
    "LinkError",
    "Linker",
    "Resource",
    "ResultError",
    "Store",
    "Ticker",
]
