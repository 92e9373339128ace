"""What has to be known of a type with everything that is in it, and what hosts in Python do not support.

In: the resolved model. Out: the `Traits` of each type.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from witgen.diagnostics import WitError
from witgen.model import (
    Alias,
    Borrow,
    EnumKind,
    Flags,
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
    Variant,
    parts,
)
from witgen.syntax import Span

NOT_ASYNC = "hosts in Python serve functions that are not async, without streams, futures and error contexts"

#: How many parts a type may have that is spelled out; types can be written whose spelling would fill the memory.
MOST_PARTS = 100
#: A component holds flags in one word.
MOST_FLAGS = 32

#: Types that have a class of their own. All others are spelled out, or have an alias.
CLASSES = (Record, Variant, EnumKind, Flags, Resource)


@dataclass(frozen=True, slots=True)
class Traits:
    """What has to be known of a type with everything that is in it.

    It is *directed* where a `list<u8>` without a class around it is in it: that is lent, given or kept. `has_bytes`
    says whether there is one, class or not; `has_handle` the same of a resource or a handle. `parts` is how much has to
    be spelled out. `refusal` says why it is not supported.
    """

    is_directed: bool
    has_bytes: bool
    has_handle: bool
    parts: int
    refusal: tuple[str, str] | None

    def check(self) -> None:
        """Raise `Unsupported` where it is."""
        if self.refusal is not None:
            raise Unsupported(*self.refusal)


class Unsupported(Exception):
    """Something that WIT can say and Python hosts cannot do; `refused_at` says where it stands."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


@contextmanager
def refused_at(what: str, span: Span) -> Iterator[None]:
    """Refuse the function or type at `span` where something in it is unsupported: raises `WitError`."""
    try:
        yield
    except Unsupported as unsupported:
        refusal = WitError(f"{what} cannot be bound: {unsupported.what}", span, unsupported.hint)
    else:
        return
    raise refusal


def traits(resolved: Resolved) -> list[Traits]:
    """The traits of every type, by its id. Types refer to lower ids only, so one walk is enough."""
    known: list[Traits] = []
    for definition in resolved.types:
        kind = definition.kind
        inner = [known[part] for part in parts(kind) if not isinstance(part, Primitive)]
        primitives = [part for part in parts(kind) if isinstance(part, Primitive)]
        is_bytes = isinstance(kind, List) and primitives == [Primitive.U8]
        is_directed = not isinstance(kind, CLASSES) and (is_bytes or any(part.is_directed for part in inner))
        count = sum(part.parts for part in inner) + (not isinstance(kind, Alias))
        refusals = [part.refusal for part in inner if part.refusal is not None]
        refusals += [refusal for each in (kind, *primitives) if (refusal := _refusal(each)) is not None]
        if count > MOST_PARTS and not isinstance(kind, CLASSES):
            refusals.append(("a type in it is too long to spell out", "give the types inside it names of their own"))
        is_named = definition.name is not None and not is_directed
        has_bytes = is_bytes or any(part.has_bytes for part in inner)
        has_handle = isinstance(kind, Resource | Own | Borrow) or any(part.has_handle for part in inner)
        refusal = refusals[0] if refusals else None
        known.append(Traits(is_directed, has_bytes, has_handle, 0 if is_named else count, refusal))
    return known


def _refusal(kind: Primitive | Kind) -> tuple[str, str] | None:
    match kind:
        case Primitive.ERROR_CONTEXT | Future() | Stream():
            return (f"{word(kind)} is not supported", NOT_ASYNC)
        case Record(fields=()) | Tuple(types=()) | Flags(flags=()):
            return (f"an empty `{word(kind)}` is not supported", "a component cannot have one")
        case Flags(flags=flags) if len(flags) > MOST_FLAGS:
            return (f"{len(flags)} flags are not supported", f"a component has at most {MOST_FLAGS} in one type")
    return None


def word(kind: Primitive | Kind) -> str:
    """What a kind of type is called, for a message."""
    return kind.value if isinstance(kind, Primitive) else type(kind).__name__.lower()
