"""The types inside a kind of type. Nothing else takes kinds apart to find them.

In: a `model.Kind`. Out: the types that it refers to, the parts among them, or the same kind with other references.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, assert_never

from witgen.model import (
    Alias,
    Borrow,
    EnumKind,
    FixedLengthList,
    Flags,
    Future,
    Kind,
    List,
    Map,
    Option,
    Own,
    Record,
    Resource,
    Result,
    Stream,
    Tuple,
    TypeId,
    TypeRef,
    Variant,
)

_Reference = TypeVar("_Reference", bound=TypeRef)


def references(kind: Kind) -> tuple[TypeRef, ...]:
    """Every type that a kind refers to, from left to right, the resource of a handle included."""
    found: list[TypeRef] = []

    def note(reference: _Reference) -> _Reference:
        found.append(reference)
        return reference

    rewritten(kind, note, note, note)
    return tuple(found)


def parts(kind: Kind) -> tuple[TypeRef, ...]:
    """The types that a value consists of, or that an alias means; a handle only refers to its resource."""
    return () if isinstance(kind, Own | Borrow) else references(kind)


def rewritten(
    kind: Kind,
    part: Callable[[TypeRef], TypeRef],
    name: Callable[[TypeId], TypeId],
    target: Callable[[TypeRef], TypeRef],
) -> Kind:
    """The kind with its references replaced, from left to right.

    `part` is for values inside others, `name` for the resource that a handle names, `target` for the type that an alias
    means.
    """

    def optional(reference: TypeRef | None) -> TypeRef | None:
        return None if reference is None else part(reference)

    match kind:
        case Resource() | Flags() | EnumKind():
            return kind
        case Alias():
            return Alias(target(kind.target))
        case Own() | Borrow():
            return replace(kind, resource=name(kind.resource))
        case Record():
            return Record(tuple(replace(field, type=part(field.type)) for field in kind.fields))
        case Variant():
            return Variant(tuple(replace(case, type=optional(case.type)) for case in kind.cases))
        case Tuple():
            return Tuple(tuple(part(item) for item in kind.types))
        case Option() | List() | FixedLengthList():
            return replace(kind, type=part(kind.type))
        case Map():
            return Map(part(kind.key), part(kind.value))
        case Result():
            return Result(optional(kind.ok), optional(kind.err))
        case Future() | Stream():
            return replace(kind, type=optional(kind.type))
        case _:
            assert_never(kind)
