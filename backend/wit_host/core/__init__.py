"""The runtime for core modules, whose calls pass numbers, and addresses of bytes in the guest's memory.

A host defines functions in the `linker` of a `CoreStore`, which `Engine.core_store` makes. The functions read and write
the memory of the guest that calls them through the store's `memory`, and keep objects for it in `resources`.
"""

from __future__ import annotations

from ..crossing.resources import ResourceTable
from .caller_memory import CallerMemory, NoMemory
from .compiled import CoreModule
from .linked import LinkedModule
from .linker import CoreLinker
from .store import CoreInstance, CoreStore

__all__ = [
    "CallerMemory",
    "CoreInstance",
    "CoreLinker",
    "CoreModule",
    "CoreStore",
    "LinkedModule",
    "NoMemory",
    "ResourceTable",
]
