"""Component binaries: reading them, and preparing them for the engine.

    binary      bytes → numbers and names
    sections    a component → its sections at every depth; changed bytes → the component again
    core        the types of core modules, as far as they occur inside types of components
    types       a type section → type definitions with the place of each part
    prepare     what is rewritten before a component is compiled

A component is untrusted input. Reading takes time in proportion to the bytes looked at, and core modules are not looked
at; what cannot be read is an `InvalidComponent` that says where.
"""

from .binary import InvalidComponent
from .prepare import prepare

__all__ = ["InvalidComponent", "prepare"]
