"""The resources that a class of a host is generic over, so that an implementation can name its own classes for them.

In: the functions of the class. Out: each resource of the host in them, with the variance of its type variable, which
type checkers want to know of a Protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from witgen.layout import written
from witgen.model import (
    Alias,
    Borrow,
    FixedLengthList,
    Function,
    List,
    Map,
    Option,
    Own,
    Primitive,
    Record,
    Resolved,
    Result,
    Tuple,
    TypeId,
    TypeRef,
    Variant,
)
from witgen.traits import Traits


class Variance(Enum):
    """How a class depends on one of another class; the value is the end of the type variable's name."""

    COVARIANT = "_co"
    CONTRAVARIANT = "_contra"
    INVARIANT = ""


def own_resources(
    resolved: Resolved, traits: Sequence[Traits], functions: Iterable[Function]
) -> dict[TypeId, Variance]:
    """The resources that these functions of a host take and return, in the order in which they do."""
    found: dict[TypeId, Variance] = {}
    for function in functions:
        for resource, variance in _of_function(resolved, traits, function):
            same = found.setdefault(resource, variance) is variance
            found[resource] = variance if same else Variance.INVARIANT
    return found


def _of_function(resolved: Resolved, traits: Sequence[Traits], function: Function) -> Iterator[tuple[TypeId, Variance]]:
    for parameter in written(function):
        yield from _of_type(resolved, traits, parameter.type, Variance.CONTRAVARIANT)
    result = resolved.result(function)
    returned = result.ok if result else function.result
    if returned is not None:
        yield from _of_type(resolved, traits, returned, Variance.COVARIANT)


def _of_type(
    resolved: Resolved, traits: Sequence[Traits], reference: TypeRef, variance: Variance
) -> Iterator[tuple[TypeId, Variance]]:
    """The resources in a type; a type that is spelled out has those of its parts, even if it has none of its own."""
    if isinstance(reference, Primitive):
        return
    found = resolved.origin(reference)
    definition, known = resolved.types[found], traits[found]
    if definition.name is not None and not known.is_directed and not known.resources:
        return
    match definition.kind:
        case Record() | Variant():
            for resource in known.resources:
                yield resource, variance  # their classes are covariant
        case Own(resource=resource) | Borrow(resource=resource):
            yield resolved.origin(resource), variance
        case List(type=element) | FixedLengthList(type=element) | Map(value=element):
            is_taken = variance is Variance.CONTRAVARIANT  # as a `list`, which is not covariant as a Sequence is
            yield from _of_type(resolved, traits, element, Variance.INVARIANT if is_taken else variance)
        case Tuple(types=types):
            for each in types:
                yield from _of_type(resolved, traits, each, variance)
        case Option(type=some):
            is_nested = isinstance(resolved.kind(some), Option)
            yield from _of_type(resolved, traits, some, Variance.INVARIANT if is_nested else variance)
        case Result(ok=ok, err=err):
            for side in (ok, err):
                if side is not None:
                    yield from _of_type(resolved, traits, side, Variance.INVARIANT)
        case Alias(target=target):
            yield from _of_type(resolved, traits, target, variance)
        case _:
            return
