"""The runtime for core modules: what crosses are numbers, and bytes in the guest's memory.

A host defines functions in the `linker` of a `CoreStore`, which `Engine.core_store` makes, and reads and writes the
memory of the guest that calls them through the store's `memory`.
"""

from __future__ import annotations

from .linker import CoreLinker
from .memory import CallerMemory, NoMemory
from .modules import CoreModule
from .store import CoreInstance, CoreStore

__all__ = ["CallerMemory", "CoreInstance", "CoreLinker", "CoreModule", "CoreStore", "NoMemory"]
