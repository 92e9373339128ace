"""Properties of a type that depend on everything inside it, such as why hosts in Python cannot have it.

In: the resolved model. Out: the `Traits` of each type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from witgen.kinds import parts
from witgen.model import (
    Alias,
    Borrow,
    EnumKind,
    FixedLengthList,
    Flags,
    Function,
    Future,
    Kind,
    List,
    Own,
    Primitive,
    Record,
    Resolved,
    Resource,
    Stream,
    Tuple,
    TypeDef,
    TypeId,
    TypeRef,
    Variant,
)

NO_STREAMS = "hosts in Python have no streams, futures and error contexts"
NOT_SERVED = "hosts in Python can call async functions of guests, but not serve them"

#: The most parts of a type that is spelled out; a few lines of WIT can have a spelling that would fill the memory.
MOST_PARTS = 100
#: A component holds flags in one word.
MOST_FLAGS = 32

#: Types that have a class of their own. All others are spelled out, or have an alias.
CLASSES = (Record, Variant, EnumKind, Flags, Resource)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a type or function is not supported, and a hint; `is_universal` if no component can have it either."""

    what: str
    hint: str
    is_universal: bool = False


_TOO_LONG = Refusal("a type in it is too long to spell out", "give the types inside it names of their own")


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties of a type that depend on everything inside it.

    It is *directed* if it contains a `list<u8>` without a class around it, since that is borrowed, given or kept.
    `has_bytes` says whether it contains one at all; `has_handle` says the same of a resource or a handle. `resources`
    are those of the handles in it, each once: a host can name classes of its own for them. There are none in a type
    that would be too long if it were spelled out with all aliases in it, which are `own_parts` types, because checkers
    do that. `parts` is the number of types that have to be spelled out anyway. `refusal` says why the type is not
    supported: for a reason of its own, or for one inside it, preferably one that holds for every component.
    """

    is_directed: bool
    has_bytes: bool
    has_handle: bool
    resources: tuple[TypeId, ...]
    own_parts: int
    parts: int
    refusal: Refusal | None


def traits(resolved: Resolved) -> list[Traits]:
    """The traits of every type, by its id. Types refer to lower ids only, so one walk is enough."""
    known: list[Traits] = []
    for definition in resolved.types:
        inner = [_primitive(part) if isinstance(part, Primitive) else known[part] for part in parts(definition.kind)]
        known.append(_traits(resolved, definition, inner))
    return known


def _primitive(primitive: Primitive) -> Traits:
    return Traits(
        is_directed=False,
        has_bytes=False,
        has_handle=False,
        resources=(),
        own_parts=1,
        parts=0,
        refusal=refusal_of(primitive),
    )


def _traits(resolved: Resolved, definition: TypeDef, inner: Sequence[Traits]) -> Traits:
    """The traits of one type, from those of its parts."""
    kind, has_class = definition.kind, isinstance(definition.kind, CLASSES)
    is_bytes = kind == List(Primitive.U8)
    is_directed = not has_class and (is_bytes or any(part.is_directed for part in inner))
    count = sum(part.parts for part in inner) + (not isinstance(kind, Alias))
    refusals = [part.refusal for part in inner if part.refusal is not None]
    if count > MOST_PARTS and not has_class:
        refusals.append(_TOO_LONG)
    own_parts = 1 if has_class else min(1 + sum(part.own_parts for part in inner), MOST_PARTS + 1)
    return Traits(
        is_directed=is_directed,
        has_bytes=is_bytes or any(part.has_bytes for part in inner),
        has_handle=isinstance(kind, Resource | Own | Borrow) or any(part.has_handle for part in inner),
        resources=_resources(resolved, kind, inner) if own_parts <= MOST_PARTS else (),
        own_parts=own_parts,
        parts=0 if definition.name is not None and not is_directed else count,
        refusal=refusal_of(kind) or max(refusals, key=lambda refusal: refusal.is_universal, default=None),
    )


def _resources(resolved: Resolved, kind: Kind, inner: Sequence[Traits]) -> tuple[TypeId, ...]:
    """The resources in a type of this kind, or none if they are too many for a class to be generic over."""
    if isinstance(kind, Own | Borrow):
        return (resolved.origin(kind.resource),)
    found = tuple(dict.fromkeys(resource for part in inner for resource in part.resources))
    return found if len(found) <= MOST_PARTS else ()


def refusal_of(kind: Primitive | Kind) -> Refusal | None:
    """Why a type of this kind is not supported, whatever its parts are."""
    match kind:
        case Primitive.ERROR_CONTEXT | Future() | Stream():
            return Refusal(f"{word(kind)} is not supported", NO_STREAMS)
        case Record(fields=()) | Tuple(types=()) | Flags(flags=()):
            return Refusal(f"an empty `{word(kind)}` is not supported", "a component cannot have one", True)
        case FixedLengthList(length=0):
            return Refusal("a `list` of length 0 is not supported", "a component cannot have one", True)
        case Flags(flags=flags) if len(flags) > MOST_FLAGS:
            hint = f"a component has at most {MOST_FLAGS} in one type"
            return Refusal(f"{len(flags)} flags are not supported", hint, True)
    return None


def refusal_of_function(
    resolved: Resolved, traits: Sequence[Traits], function: Function, is_export: bool
) -> Refusal | None:
    """Why a function is not supported: because of itself, or of a type that it takes, returns or raises."""
    if function.is_async and not is_export:
        return Refusal("async is not supported", NOT_SERVED)
    types = [*(parameter.type for parameter in function.parameters), *_returned(resolved, function)]
    refusals = (refusal_of(type_) if isinstance(type_, Primitive) else traits[type_].refusal for type_ in types)
    return next((refusal for refusal in refusals if refusal is not None), None)


def _returned(resolved: Resolved, function: Function) -> list[TypeRef]:
    result = resolved.result(function)
    sides = (result.ok, result.err) if result else (function.result,)
    return [side for side in sides if side is not None]


def word(kind: Primitive | Kind) -> str:
    """The WIT word for a kind of type, for a message."""
    return kind.value if isinstance(kind, Primitive) else type(kind).__name__.lower()
