"""The uses of an imported instance, which decide whether its type may change.

In: the index spaces of a component and an import. Out: the names of types that other parts use, and the lowered forms
of its functions. The functions may only be lowered for core modules; then only core values depend on their types.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from .definitions import Options, Origin, Role, Space
from .index_spaces import Indices, Use
from .obstacles import Obstacle


@dataclass(frozen=True, slots=True)
class Lower:
    """A function of an instance, lowered to the core function `index` with `options`."""

    function: bytes
    index: int
    options: Options
    memory: int | None
    realloc: int | None


@dataclass(slots=True)
class Uses:
    """The uses of one instance; `kept` are the names of its types that other parts of the component refer to."""

    kept: set[bytes] = field(default_factory=set)
    lowers: list[Lower] = field(default_factory=list)


def uses_of_instance(found: Indices, index: int) -> Uses:
    """Return the uses of the instance with this index. Raises `Obstacle`."""
    uses = Uses()
    for use in found.uses_of(Space.INSTANCE, index):
        if use.by.origin != Origin.ALIAS_EXPORT or use.by.space not in (Space.TYPE, Space.FUNC):
            raise Obstacle("the component passes it on as a whole")
        if use.by.space == Space.TYPE:
            uses.kept.add(use.by.name)
        else:
            uses.lowers += [_lower(found, use.by.name, each) for each in found.uses_of(Space.FUNC, use.index)]
    return uses


def check_type(found: Indices, index: int, outer: Collection[int]) -> None:
    """Raise `Obstacle` if more than one import has the type, or a component inside refers to it (`outer`)."""
    if index in outer or len(found.uses_of(Space.TYPE, index)) != 1:
        raise Obstacle("the component uses its type for something else too")


def _lower(found: Indices, function: bytes, use: Use) -> Lower:
    name = function.decode(errors="replace")
    options = use.by.options
    if use.by.origin != Origin.LOWER or options is None:
        raise Obstacle(f"the component passes on its function `{name}`")
    if options.asynchronous:
        raise Obstacle(f"its function `{name}` is lowered as an asynchronous one")
    if any(each.by.origin != Origin.BUNDLE for each in found.uses_of(Space.CORE_FUNC, use.index)):
        raise Obstacle(f"its function `{name}` is used by something other than core modules after it is lowered")
    roles = {each.role: each.index for each in use.by.references}
    return Lower(function, use.index, options, roles.get(Role.MEMORY), roles.get(Role.REALLOC))
