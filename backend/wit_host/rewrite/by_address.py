"""Components rewritten so that `list<u8>` crosses as an address and a length.

In: a component, and the interfaces that a host serves. Out: the component with other types for its imports of these,
so that the engine passes numbers to the host and boxes no bytes. The guest's core modules stay as they are: a
`list<u8>` in a parameter is the same two core values as two `u32`, and a function that returns one takes the place for
it as a number.

Anything unfamiliar stays as it is, with a reason.
"""

from __future__ import annotations

from collections.abc import Collection

from .address_types import Retyped, retyped
from .bridge_insertion import Lowered
from .core_memories import memory_module
from .definitions import Origin, Space
from .obstacles import Obstacle
from .sections import Edit
from .served_imports import Change, Import, Rewritten, Served, rewrite_imports
from .uses import Lower


def pass_by_address(wasm: bytes, interfaces: Collection[str]) -> Rewritten:
    """Change the types of the imports that `interfaces` serve, which are full names with versions.

    In a changed import, each `list<u8>` in a parameter is `tuple<u32, u32>`: address and length. Its functions that
    `Rewritten.functions` names return `list<u8>` and get a bridge: they have no result and one more parameter, `ret`,
    and are called twice for each call of the guest. First the host stores the length at `ret + 4`, then it copies the
    bytes to the address at `ret`. Others that it names return a `result` that begins with `list<u8>`, if it is `ok`:
    they return an address and a length instead, have one more parameter, `at`, and are called twice, too. First `at` is
    `NO_PLACE`, and the host says how long the bytes are, then it is where to copy them. Other results do not change.
    """
    return rewrite_imports(wasm, interfaces, _change, check_memory)


def _change(served: Served, each: Import) -> Change | None:
    new = retyped(served.wasm, each.declared, each.uses.kept)
    old = served.found.definition(Space.TYPE, each.type)
    if new is None or old is None or old.type is None:
        return None
    edit = Edit(old.type.start, old.type.end, new.definition)
    lowers = [_lowered(lower, new) for lower in each.uses.lowers if lower.function in new.bridged]
    return Change([edit], new.bridged, lowers)


def _lowered(lower: Lower, new: Retyped) -> Lowered:
    if lower.memory is None or lower.realloc is None:
        raise Obstacle(f"its function `{lower.function.decode(errors='replace')}` is lowered without an allocator")
    return Lowered(lower.index, new.bridged[lower.function], lower.memory, lower.realloc)


def check_memory(served: Served) -> None:
    """Raise `Obstacle` if an address could be in one of several memories."""
    found = served.found
    section = memory_module(served.wasm, served.parts)
    modules = found.sections(Space.CORE_MODULE)
    if section is None:
        raise Obstacle("the component has no memory of its own")
    if any(each.origin != Origin.MODULE for _, each in found.indexed(Space.CORE_MODULE)):
        raise Obstacle("the component gets core modules from elsewhere")
    uses = [found.uses_of(Space.CORE_MODULE, index) for index in range(len(modules))]
    if any(use.by.origin != Origin.INSTANTIATE for of_module in uses for use in of_module):
        raise Obstacle("the component passes on core modules")
    if len(uses[modules.index(section)]) > 1:
        raise Obstacle("the component has more than one memory")
