"""The references inside a kind of type.

In: a `model.Kind`. Out: the types it is made of, in source order, or the same kind with other references.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

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


def parts(kind: Kind) -> tuple[TypeRef, ...]:
    """The references in a kind, those of aliases and handles included."""
    found: list[TypeRef] = []

    def note(reference: TypeRef) -> TypeRef:
        found.append(reference)
        return reference

    def note_name(name: TypeId) -> TypeId:
        found.append(name)
        return name

    rewritten(kind, note, note_name, note)
    return tuple(found)


def rewritten(
    kind: Kind,
    part: Callable[[TypeRef], TypeRef],
    name: Callable[[TypeId], TypeId],
    target: Callable[[TypeRef], TypeRef],
) -> Kind:
    """The kind with its references replaced, from left to right.

    `part` is for values inside others, `name` for the resource that a handle names, `target` for what an alias means.
    """

    def optional(reference: TypeRef | None) -> TypeRef | None:
        return None if reference is None else part(reference)

    match kind:
        case Resource() | Flags() | EnumKind():
            return kind
        case Alias():
            return Alias(target(kind.target))
        case Own():
            return Own(name(kind.resource))
        case Borrow():
            return Borrow(name(kind.resource))
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
