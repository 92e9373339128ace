"""Component binaries: reading them, and preparing them for the engine.

    binary      bytes → numbers and names
    sections    a component → its sections at every depth; changed bytes → the component again
    core        the types of core modules, as far as they occur inside types of components
    parts       what types and definitions are made of
    types       a type section → type definitions with the place of each part
    prepare     lists of fixed length, rewritten before a component is compiled

    definitions, canon        a section → what it defines and what it refers to
    indices, nested           a component → its index spaces; what is in the core modules and components inside
    flat, instance_types, root_types    types → their core values and what they hold
    uses, retype              an imported interface → whether its type may change; the changed type
    bridge, bridge_code       core WebAssembly around functions, and what it does
    insert                    where it goes, and the indices behind it
    served                    the imports that a host serves, and the component with their changes
    pointers, strings         bytes as addresses and as strings, rewritten before a component is compiled

A component is untrusted input. Reading takes time in proportion to the bytes looked at, and core modules are not looked
at beyond the heads of their sections; what cannot be read is an `InvalidComponent` that says where.
"""

from __future__ import annotations

from .binary import InvalidComponent
from .pointers import Prepared, prepare_pointers
from .prepare import prepare
from .strings import prepare_strings

__all__ = ["InvalidComponent", "Prepared", "prepare", "prepare_pointers", "prepare_strings"]
